#!/usr/bin/env bash
# Brings up a Kubernetes cluster of one or more nodes from source and registries alone.
#   up.sh build      only build what is missing from the cache
#   up.sh            build, then start what is not running; prints the kubeconfig
# Options (environment; see also lib.sh):
#   OUTIS_CLUSTER_MODE=full|control-plane
#   OUTIS_CLUSTER_NAME, OUTIS_CLUSTER_INDEX: a cluster beside others
#   OUTIS_NODES=N; OUTIS_NESTED=1: nodes in PID and cgroup namespaces of their own
#   OUTIS_DNS_UPSTREAM: where CoreDNS forwards other names (default: nowhere)
#   OUTIS_AUDIT_POLICY, OUTIS_AUDIT_WEBHOOK (kubeconfig), OUTIS_AUTHN_CONFIG,
#   OUTIS_ADMISSION_CONFIG: files handed to the apiserver (in the audit webhook's,
#   @HOST_IP@ becomes the machine's address as the apiserver sees it)
#   OUTIS_APISERVER_ARGS: more apiserver flags; OUTIS_DNS=0: no CoreDNS
#   OUTIS_IMAGES: more image tarballs to import
set -euo pipefail
. "$(dirname "$0")/lib.sh"
{ # read to the end before anything runs: the file may be edited meanwhile
[ "$(id -u)" = 0 ] || die "must run as root"
[[ $NAME =~ ^[a-z0-9-]+$ ]] || die "OUTIS_CLUSTER_NAME: a-z 0-9 - only"
T0=$(date +%s%N)
elapsed() { echo "$((($(date +%s%N) - T0) / 1000000)) ms"; }

# ---- build --------------------------------------------------------------------
export GOFLAGS="-mod=readonly -buildvcs=false -trimpath -p=${OUTIS_BUILD_JOBS:-2}" GOTOOLCHAIN=local
k8s_ld="-s -w"
for kv in gitVersion=$K8S_VERSION gitMajor=1 gitMinor=36 gitTreeState=clean; do
  k8s_ld+=" -X k8s.io/component-base/version.$kv"
done
# build NAME DIR LDFLAGS TAGS PKG...: into $CACHE/build/NAME-<key>, linked in $BIN.
build() {
  local name=$1 dir=$2 ld=$3 tags=$4 key out p s; shift 4
  key=$( { cat "$dir"/go.mod "$dir"/go.sum; find "$dir" -name '*.go' | sort | xargs cat; echo "$ld $tags $*"; go version; } | sha256sum | cut -c1-16)
  out=$CACHE/build/$name-$key
  if [ ! -e "$out/.done" ]; then
    say "building $name"; s=$(date +%s); mkdir -p "$out"
    (cd "$dir" && CGO_ENABLED=${CGO:-0} go build -tags "$tags" -ldflags "$ld" -o "$out/" "$@")
    touch "$out/.done"; say "built $name in $(($(date +%s) - s)) s"
  fi
  mkdir -p "$BIN"
  for p in "$out"/*; do ln -sfn "$p" "$BIN/${p##*/}"; done
}
build_all() {
  local K=k8s.io/kubernetes/cmd C=github.com/containerd/containerd/v2/cmd P=github.com/containernetworking/plugins/plugins
  build kubernetes-cp "$CLUSTER_HOME/mods/kubernetes" "$k8s_ld" "" $K/kube-apiserver $K/kube-controller-manager $K/kube-scheduler $K/kubectl
  build etcd "$CLUSTER_HOME/mods/etcd" "-s -w" "" go.etcd.io/etcd/server/v3
  # the package's last element is "v3" or "server", by the go version
  for b in v3 server; do if [ -e "$BIN/$b" ]; then ln -sfn "$(readlink "$BIN/$b")" "$BIN/etcd"; rm "$BIN/$b"; fi; done
  [ "$MODE" = full ] || { [ "${OUTIS_FAKE_NODES:-0}" = 0 ] || build kwok "$CLUSTER_HOME/mods/kwok" "-s -w" "" sigs.k8s.io/kwok/cmd/kwok; return 0; }
  build kubernetes-node "$CLUSTER_HOME/mods/kubernetes" "$k8s_ld" "" $K/kubelet $K/kube-proxy
  build containerd "$CLUSTER_HOME/mods/containerd" "-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD_VERSION" \
    "no_btrfs no_zfs no_devmapper no_aufs" $C/containerd $C/containerd-shim-runc-v2 $C/ctr
  build cni "$CLUSTER_HOME/mods/cni" "-s -w" "" $P/main/bridge $P/main/loopback $P/ipam/host-local $P/meta/portmap
  if [ -e /usr/include/seccomp.h ] && command -v gcc >/dev/null; then # else the distribution's runc is used
    CGO=1 build runc "$CLUSTER_HOME/mods/runc" "-s -w -X main.version=1.5.2" "seccomp netgo osusergo" github.com/opencontainers/runc
  fi
  build tools "$CLUSTER_HOME/tools" "-s -w" "" ./pause ./e2etool
  [ "${OUTIS_DNS:-1}" = 0 ] || build coredns "$CLUSTER_HOME/mods/coredns" "-s -w" "" .
}
need() { command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"; }
[ "$NESTED" = 0 ] || [ ! -e /sys/fs/cgroup/cgroup.procs ] || die "OUTIS_NESTED=1 is done for cgroup v1 and hybrid machines only"
need openssl openssl; need jq jq; need ip iproute2
if [ "$MODE" = full ]; then
  need nft nftables; need iptables iptables; need busybox busybox-static
fi
if [ "${OUTIS_SKIP_BUILD:-0}" != 1 ]; then # one at a time: the links in $BIN are shared
  need go golang; mkdir -p "$CACHE"; exec 8<"$CACHE"; flock 8; build_all; exec 8<&-
fi
say "binaries ready ($(elapsed))"
[ "${1:-}" != build ] || exit 0
export PATH=$BIN:$PATH

# ---- state, keys, kubeconfigs ---------------------------------------------------
# shellcheck disable=SC1091
[ ! -r "$STATE/options" ] || [ "$(. "$STATE/options"; echo "$WAS")" = "$MODE $NESTED $INDEX" ] || die "runs with other options ($STATE/options): down.sh first"
mkdir -p "$PKI" "$KCFG" "$RUN" "$LOG" "$STATE/etc"
cat >"$STATE/options" <<EOF
WAS="$MODE $NESTED $INDEX"
: "\${OUTIS_KUBELET_DIR:=$KUBELET_DIR}" "\${OUTIS_CRI_DIR:=$CRI_DIR}"
: "\${OUTIS_CLUSTER_MODE:=$MODE}" "\${OUTIS_NESTED:=$NESTED}" "\${OUTIS_CLUSTER_INDEX:=$INDEX}" "\${OUTIS_NODES:=$NODES}" "\${OUTIS_NODE_NAME:=$NODE_NAME}"
EOF
ca() { # ca NAME CN
  [ -s "$PKI/$1.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}
cert() { # cert NAME CA SUBJECT EKU [SAN]
  local ext
  if [ -s "$PKI/$1.crt" ] && [ "$(cat "$PKI/$1.san" 2>/dev/null)" = "$3|${5:-}" ]; then return; fi
  ext="basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
extendedKeyUsage=$4
${5:+subjectAltName=$5}"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/$2.crt" -CAkey "$PKI/$2.key" -CAcreateserial -days 3650 -extfile <(echo "$ext") -out "$PKI/$1.crt" 2>/dev/null
  echo "$3|${5:-}" >"$PKI/$1.san"; rm -f "$PKI/$1.csr"
}
kubeconfig() { # kubeconfig NAME CERT
  local b="base64 -w0"
  cat >"$KCFG/$1" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: outis, cluster: {server: "https://$API_IP:6443", certificate-authority-data: $($b "$PKI/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $($b "$PKI/$2.crt"), client-key-data: $($b "$PKI/$2.key")}}]
contexts: [{name: outis, context: {cluster: outis, user: $1}}]
current-context: outis
EOF
}
umask 077
ca ca kubernetes; ca etcd-ca etcd; ca front-proxy-ca front-proxy
cert etcd etcd-ca /CN=etcd serverAuth,clientAuth "IP:127.0.0.1,DNS:localhost"
cert apiserver-etcd etcd-ca /CN=kube-apiserver clientAuth
cert apiserver ca /CN=kube-apiserver serverAuth "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$API_IP,IP:$API_IP6,IP:$SVC_API_IP"
cert apiserver-kubelet ca "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
cert front-proxy front-proxy-ca /CN=front-proxy-client clientAuth
cert admin ca "/O=system:masters/CN=admin" clientAuth
cert kcm ca /CN=system:kube-controller-manager clientAuth
cert scheduler ca /CN=system:kube-scheduler clientAuth
cert proxy ca /CN=system:kube-proxy clientAuth
[ -s "$PKI/sa.key" ] || { openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null; openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null; }
for c in admin kcm scheduler proxy; do kubeconfig $c $c; done
node_keys() {
  cert "kubelet-server$SFX" ca "/CN=$NN" serverAuth "DNS:$NN,IP:$NODE_IP,IP:$NODE_IP6,IP:127.0.0.1"
  cert "kubelet$SFX" ca "/O=system:nodes/CN=system:node:$NN" clientAuth
  kubeconfig "kubelet$SFX" "kubelet$SFX"
}
[ "$MODE" != full ] || each_node node_keys
umask 022
export KUBECONFIG=$KCFG/admin
render() { # render TEMPLATE DEST
  local cgroot=/; [ "$NESTED" = 1 ] || cgroot=/$CG
  sed -e "s|@STATE@|$STATE|g;s|@PKI@|$PKI|g;s|@KCFG@|$KCFG|g;s|@BIN@|$BIN|g;s|@CRI_DIR@|$CRI_DIR|g;s|@CRI_SOCK@|$CRI_SOCK|g;s|@CGROUP_ROOT@|$cgroot|g" \
    -e "s|@DNS_IP@|$DNS_IP|g;s|@DNS_IP6@|$DNS_IP6|g;s|@NODE_IP@|$NODE_IP|g;s|@NODE_IP6@|$NODE_IP6|g;s|@HOST_IP@|$HOST_IP|g;s|@ND@|$ND|g;s|@SFX@|$SFX|g;s|@NODE_NAME@|$NN|g" \
    -e "s|@POD_CIDR@|$POD_CIDR|g;s|@POD_SUBNET@|$POD_SUBNET|g;s|@POD_SUBNET6@|$POD_SUBNET6|g;s|@RUNC@|$(command -v runc || true)|g" \
    -e "s|@FORWARD@|${OUTIS_DNS_UPSTREAM:+forward . $OUTIS_DNS_UPSTREAM}|g" "$1" >"$2"
}
T=$CLUSTER_HOME/templates
wait_for() { # wait_for SECONDS WHAT CMD...
  local n=$1 what=$2 i; shift 2
  for ((i = 0; i < n * 5; i++)); do "$@" >/dev/null 2>&1 && { say "$what ($(elapsed))"; return 0; }; sleep 0.2; done
  die "$what: not within $n s; logs in $LOG"
}
T0=$(date +%s%N)

# ---- network ----------------------------------------------------------------------
# A switch (a bridge in a network namespace of its own, no rules there) connects the
# machine and the nodes; node 1's namespace holds the control plane too. Default routes
# lead to the machine, which forwards nothing unless told to.
port() { # port NETNS IFNAME IP IP6 PORT
  local n=${1:+-n $1}
  # shellcheck disable=SC2086
  {
    ip $n link add "$2" type veth peer name "$5" netns "$NETNS.lan"
    ip -n "$NETNS.lan" link set "$5" master lan up
    ip $n addr add "$3/24" dev "$2"; ip $n addr add "$4/64" dev "$2" nodad; ip $n link set "$2" up
  }
}
netns_add() { ip netns add "$1"; ip -n "$1" link set lo up; }
node_net() {
  local x=(ip netns exec "$NODE_NS") ni=$I ns=$NODE_NS j
  if [ ! -e "/run/netns/$ns" ]; then
    netns_add "$ns"
    "${x[@]}" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
    [ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || "${x[@]}" sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
    port "$ns" eth0 "$NODE_IP" "$NODE_IP6" "node$I"
    ip -n "$ns" route add default via "$HOST_IP"; ip -n "$ns" -6 route add default via "$HOST_IP6"
    # pods' own addresses are kept towards pods and nodes; the machine sees the node's
    [ "$MODE" != full ] || "${x[@]}" nft -f - <<EOF
table inet outis_masq {
  chain post { type nat hook postrouting priority srcnat;
    ip saddr $POD_CIDR4 ip daddr != { $POD_CIDR4, $NET4.2-$NET4.254 } oifname eth0 masquerade
    ip6 saddr $POD_CIDR6 ip6 daddr != { $POD_CIDR6, $NET6::2-$NET6::ff } oifname eth0 masquerade
  }
}
EOF
  fi
  for ((j = 1; j <= NODES; j++)); do
    [ "$j" != "$ni" ] || continue
    node "$j"
    ip -n "$ns" route replace "$POD_SUBNET" via "$NODE_IP"; ip -n "$ns" -6 route replace "$POD_SUBNET6" via "$NODE_IP6"
  done
}
exec 9</run; flock 9
if [ ! -e "/run/netns/$NETNS.lan" ]; then
  [ ! -e "/sys/class/net/$HOST_IF" ] || die "$HOST_IF is there already: another cluster has taken the index meanwhile, run this again"
  netns_add "$NETNS.lan"; touch "$RUN/netns"
  ip netns exec "$NETNS.lan" sh -c 'for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e "$f" ] || echo 0 >"$f"; done'
  ip -n "$NETNS.lan" link add lan type bridge; ip -n "$NETNS.lan" link set lan up
  port "" "$HOST_IF" "$HOST_IP" "$HOST_IP6" machine
fi
[ -e "$RUN/netns" ] || die "network namespace $NETNS.lan is another cluster's: set OUTIS_CLUSTER_NAME"
each_node node_net
exec 9<&-

# ---- control plane --------------------------------------------------------------
start_cp etcd "$BIN/etcd" --name outis --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster outis=http://127.0.0.1:2380 \
  --client-cert-auth --trusted-ca-file "$PKI/etcd-ca.crt" --cert-file "$PKI/etcd.crt" --key-file "$PKI/etcd.key"
render "$T/audit-policy.yaml" "$STATE/etc/audit-policy.yaml"
api=(--etcd-servers https://127.0.0.1:2379 --etcd-cafile "$PKI/etcd-ca.crt" --etcd-certfile "$PKI/apiserver-etcd.crt" --etcd-keyfile "$PKI/apiserver-etcd.key"
  --advertise-address "$API_IP" --secure-port 6443 --service-cluster-ip-range "$SVC_CIDR" --allow-privileged
  --client-ca-file "$PKI/ca.crt" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key"
  --kubelet-client-certificate "$PKI/apiserver-kubelet.crt" --kubelet-client-key "$PKI/apiserver-kubelet.key" --kubelet-certificate-authority "$PKI/ca.crt"
  --kubelet-preferred-address-types InternalIP
  --service-account-issuer https://kubernetes.default.svc.cluster.local --service-account-key-file "$PKI/sa.pub" --service-account-signing-key-file "$PKI/sa.key"
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction
  --requestheader-client-ca-file "$PKI/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client
  --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group --requestheader-extra-headers-prefix X-Remote-Extra-
  --proxy-client-cert-file "$PKI/front-proxy.crt" --proxy-client-key-file "$PKI/front-proxy.key"
  --audit-policy-file "${OUTIS_AUDIT_POLICY:-$STATE/etc/audit-policy.yaml}" --audit-log-path "$LOG/audit.log" --audit-log-maxsize 64 --audit-log-maxbackup 2)
[ -z "${OUTIS_AUDIT_WEBHOOK:-}" ] || { render "$OUTIS_AUDIT_WEBHOOK" "$STATE/etc/audit-webhook.yaml"; api+=(--audit-webhook-config-file "$STATE/etc/audit-webhook.yaml" --audit-webhook-batch-max-wait 1s); }
[ -z "${OUTIS_AUTHN_CONFIG:-}" ] || api+=(--authentication-config "$OUTIS_AUTHN_CONFIG")
[ -z "${OUTIS_ADMISSION_CONFIG:-}" ] || api+=(--admission-control-config-file "$OUTIS_ADMISSION_CONFIG")
# shellcheck disable=SC2086
start_cp kube-apiserver "$BIN/kube-apiserver" "${api[@]}" ${OUTIS_APISERVER_ARGS:-}

# ---- nodes' runtime: started first, so that images load while the apiserver starts
# A mount namespace of its own with shared propagation (node-init.sh): the machine's
# mounts (root may be private) stay as they are, and every mount goes with the last process.
cgroups() { # node I's cgroup in every hierarchy
  local h c f
  for h in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -e "$h/cgroup.procs" ] && [ ! -L "$h" ] || continue
    [ "$h" = /sys/fs/cgroup ] || mountpoint -q "$h" || continue
    for c in "$h/${CG%/*}" "$h/$CG"; do
      mkdir -p "$c"
      # cgroup2 alone: controllers are handed down
      [ -z "$(cat "${c%/*}/cgroup.controllers" 2>/dev/null)" ] || sed 's/[^ ][^ ]*/+&/g' "${c%/*}/cgroup.controllers" >"${c%/*}/cgroup.subtree_control"
      for f in cpuset.cpus cpuset.mems; do [ ! -e "$c/$f" ] || [ -n "$(cat "$c/$f")" ] || cat "${c%/*}/$f" >"$c/$f"; done
    done
  done
}
node_start() {
  local p flags=(-m -u --propagation private) i
  if ! alive "mntns$SFX"; then
    cgroups; rm -f "$ND/up"
    # what a node keeps on disk, found at the usual paths inside its mount namespace
    mkdir -p "$ND"/{kubelet,kubelet-fixed,cri,cri-fixed,cni,netns,log/pods,log/containers,containerd,pv,etc/sysctl,etc/cni/net.d}
    echo "${OUTIS_DNS_UPSTREAM:+nameserver $OUTIS_DNS_UPSTREAM}" >"$ND/etc/resolv.conf"
    [ "$NESTED" = 0 ] || flags+=(-p -f -C)
    # shellcheck disable=SC2016
    STATE=$STATE CACHE=$CACHE CLUSTER_HOME=$CLUSTER_HOME ND=$ND NN=$NN NESTED=$NESTED KUBELET_DIR=$KUBELET_DIR CRI_DIR=$CRI_DIR CG=$CG BIN=$BIN setsid sh -c '[ $NESTED = 0 ] || for c in /sys/fs/cgroup/*/"$CG"; do echo $$ >"$c/cgroup.procs"; done
      exec "$@"' - nsenter --net="/run/netns/$NODE_NS" -- unshare "${flags[@]}" -- bash "$CLUSTER_HOME/node-init.sh" >"$LOG/node-init$SFX.log" 2>&1 </dev/null &
    p=$!
    remember "mntns$SFX" "$p" # at once: a node that starts too slowly must be found by down.sh
    for i in $(seq 600); do [ ! -e "$ND/up" ] || break; sleep 0.05; done
    [ -e "$ND/up" ] || die "node $I did not start: $LOG/node-init$SFX.log"
    [ "$NESTED" = 0 ] || p=$(child_of $p)
    remember "mntns$SFX" "$p"
  fi
  render "$T/containerd.toml" "$ND/etc/containerd.toml"
  render "$T/cni.conflist" "$ND/etc/cni/net.d/10-outis.conflist"
  render "$T/kubelet.yaml" "$ND/etc/kubelet.yaml"
  render "$T/kube-proxy.yaml" "$ND/etc/kube-proxy.yaml"
  start_ns containerd "$BIN/containerd" --config "$ND/etc/containerd.toml"
}
ctr_up() { each_node ctr version; }
if [ "$MODE" = full ]; then
command -v runc >/dev/null || die "no runc: apt-get install runc, or gcc and libseccomp-dev to build it"
each_node node_start
wait_for 30 "containerd ready" ctr_up
# images: made from a root directory (mkimage, lib.sh)
# have_image REF FILE...: there, and made from these very files
have_image() {
  local ref=$1 k; shift
  k=$(sha256sum "$@" 2>/dev/null | cut -d' ' -f1 | sha256sum)
  each_node node_has "$ref" "$k"
}
node_has() {
  local f=$ND/etc/image-${1//[\/:]/_}
  [ "$(cat "$f" 2>/dev/null)" = "$2" ] && ctr images ls -q 2>/dev/null | grep -qx "$1" && return 0
  echo "$2" >"$f"; return 1
}
if ! have_image localhost/outis/pause:1 "$BIN/pause"; then
  r=$(mktemp -d "$STATE/root.XXXXXX"); cp -L "$BIN/pause" "$r/pause"; chmod 755 "$r"
  mkimage localhost/outis/pause:1 "$r" '{"Entrypoint":["/pause"]}'; rm -rf "$r"
fi
if ! have_image localhost/outis/busybox:1 "$BIN/e2etool" "$(command -v busybox)"; then
  r=$(mktemp -d "$STATE/root.XXXXXX"); chmod 755 "$r"; mkdir -p "$r"/{bin,etc,tmp,root,var,proc,sys,dev,run}; chmod 1777 "$r/tmp"
  cp -L "$(command -v busybox)" "$r/bin/busybox"; for a in $(busybox --list); do [ "$a" = busybox ] || ln -s busybox "$r/bin/$a"; done
  cp -L "$BIN/e2etool" "$r/bin/e2etool"; printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$r/etc/passwd"; printf 'root:x:0:\nnobody:x:65534:\n' >"$r/etc/group"
  mkimage localhost/outis/busybox:1 "$r" '{"Env":["PATH=/bin"],"Cmd":["sh"]}'; rm -rf "$r"
fi
if [ "${OUTIS_DNS:-1}" != 0 ] && ! have_image localhost/outis/coredns:1 "$BIN/coredns"; then
  r=$(mktemp -d "$STATE/root.XXXXXX"); chmod 755 "$r"; cp -L "$BIN/coredns" "$r/coredns"
  mkimage localhost/outis/coredns:1 "$r" '{"Entrypoint":["/coredns"]}'; rm -rf "$r"
fi
for t in ${OUTIS_IMAGES:-}; do each_node ctr images import "$t" >/dev/null; done
say "images there ($(elapsed))"
fi

# ---- the rest of the control plane ------------------------------------------------
ready() { "$BIN/kubectl" get --raw /readyz; }
wait_for 90 "apiserver ready" ready
start_cp kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$KCFG/kcm" --authentication-kubeconfig "$KCFG/kcm" --authorization-kubeconfig "$KCFG/kcm" \
  --leader-elect=false --use-service-account-credentials --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
  --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" --allocate-node-cidrs="$([ "$MODE" = full ] && echo false || echo true)" --cluster-cidr "$POD_CIDR" \
  --service-cluster-ip-range "$SVC_CIDR" --bind-address 127.0.0.1 --kube-api-qps 300 --kube-api-burst 500
start_cp kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$KCFG/scheduler" --authentication-kubeconfig "$KCFG/scheduler" --authorization-kubeconfig "$KCFG/scheduler" \
  --leader-elect=false --bind-address 127.0.0.1
sa_there() { "$BIN/kubectl" get sa default -n default; }
if [ "$MODE" != full ]; then
  # simulated nodes: kwok plays the kubelet of those with the annotation
  if [ "${OUTIS_FAKE_NODES:-0}" -gt 0 ]; then
    start_cp kwok "$BIN/kwok" --kubeconfig "$KCFG/admin" --config "$CLUSTER_HOME/templates/kwok-stages.yaml" --manage-all-nodes=false \
      --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --node-ip 10.0.0.1
    for ((i = 1; i <= OUTIS_FAKE_NODES; i++)); do
      printf 'apiVersion: v1\nkind: Node\nmetadata: {name: fake-%d, annotations: {kwok.x-k8s.io/node: fake}, labels: {kubernetes.io/hostname: fake-%d, kubernetes.io/os: linux}}\n---\n' $i $i
    done | "$BIN/kubectl" apply -f - >/dev/null
    "$BIN/kubectl" wait --for=condition=Ready node --all --timeout=30s >/dev/null; say "$OUTIS_FAKE_NODES fake nodes ready ($(elapsed))"
  fi
  wait_for 60 "default service account there" sa_there
  say "control plane up: export KUBECONFIG=$KUBECONFIG"; echo "$KUBECONFIG"; exit 0
fi

# ---- kubelet, kube-proxy, DNS -------------------------------------------------------
node_up() {
  start_ns kubelet unshare -m --propagation unchanged bash "$CLUSTER_HOME/kubelet-init.sh" "$ND/etc/sysctl" "$BIN/kubelet" --config "$ND/etc/kubelet.yaml" --kubeconfig "$KCFG/kubelet$SFX" --hostname-override "$NN" --node-ip "$NODE_IP,$NODE_IP6" --root-dir "$KUBELET_DIR" --v "${OUTIS_KUBELET_V:-2}"
  start_ns kube-proxy "$BIN/kube-proxy" --config "$ND/etc/kube-proxy.yaml" --hostname-override "$NN"
}
each_node node_up
pvs() { local j; for ((j = 1; j <= LOCAL_PVS; j++)); do mkdir -p "$ND/pv/$j"; echo "---"; render "$T/local-pv.yaml" /dev/stdout | sed "s|@J@|$j|g"; done; }
{ cat "$T/storageclass.yaml"; each_node pvs; } >"$STATE/etc/storage.yaml"
"$BIN/kubectl" apply -f "$STATE/etc/storage.yaml" >/dev/null
if [ "${OUTIS_DNS:-1}" != 0 ]; then
  render "$T/coredns.yaml" "$STATE/etc/coredns.yaml"
  "$BIN/kubectl" apply -f "$STATE/etc/coredns.yaml" >/dev/null
fi
node_registered() { # the pods' subnets are fixed by the node's number, as the routes are
  wait_for 90 "$NN registered" "$BIN/kubectl" get node "$NN"
  [ -n "$("$BIN/kubectl" get node "$NN" -o jsonpath='{.spec.podCIDR}')" ] ||
    "$BIN/kubectl" patch node "$NN" -p "{\"spec\":{\"podCIDR\":\"$POD_SUBNET\",\"podCIDRs\":[\"$POD_SUBNET\",\"$POD_SUBNET6\"]}}" >/dev/null
}
each_node node_registered
if [ "$KUBELET_DIR" != /var/lib/kubelet ]; then # as k3s tells of itself
  "$BIN/kubectl" annotate node --all --overwrite "k3s.io/node-args=[\"server\",\"--kubelet-arg\",\"root-dir=$KUBELET_DIR\"]" >/dev/null
fi
"$BIN/kubectl" wait --for=condition=Ready node --all --timeout=90s >/dev/null; say "nodes ready: $NODES ($(elapsed))"
if [ "${OUTIS_DNS:-1}" != 0 ]; then
  "$BIN/kubectl" -n kube-system rollout status deploy/coredns --timeout=60s >/dev/null; say "coredns ready ($(elapsed))"
fi
wait_for 60 "default service account there" sa_there
say "cluster up: export KUBECONFIG=$KUBECONFIG"; echo "$KUBECONFIG"
exit 0
}
