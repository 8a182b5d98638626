# Shared by all scripts. Everything is overridable from the environment.
CLUSTER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${OUTIS_CLUSTER_CACHE:-$HOME/.cache/outis/cluster}
NAME=${OUTIS_CLUSTER_NAME:-e2e}                # clusters of other names run beside this one
d=/var/lib/outis-cluster; [ "$NAME" = e2e ] || d+=-$NAME
STATE=${OUTIS_CLUSTER_STATE:-$d}
# what the running cluster was started with; the environment goes first
[ ! -r "$STATE/options" ] || . "$STATE/options"
INDEX=${OUTIS_CLUSTER_INDEX:-$(($(printf %s "$NAME" | cksum | cut -d' ' -f1) % 254 + 1))}
if [ -z "${OUTIS_CLUSTER_INDEX:-}" ]; then # another cluster's name may hash to the same: take the next free one
  for _ in $(seq 254); do [ -e "/sys/class/net/outis$INDEX" ] || break; INDEX=$((INDEX % 254 + 1)); done
fi
MODE=${OUTIS_CLUSTER_MODE:-full}               # full | control-plane
NODES=${OUTIS_NODES:-1}
NESTED=${OUTIS_NESTED:-0}                      # 1: nodes in PID and cgroup namespaces of their own
LOCAL_PVS=${OUTIS_LOCAL_PVS:-4}                # local PersistentVolumes per node
KUBELET_DIR=${OUTIS_KUBELET_DIR:-/var/lib/kubelet} # inside the node's mount namespace
CRI_DIR=${OUTIS_CRI_DIR:-/run/containerd}          # the same
NODE_NAME=${OUTIS_NODE_NAME:-outis-node}       # the second is $NODE_NAME-2
# network: machine .1, node I at .(I+1); pods of node I in POD_NET.(I-1)
NET4=${OUTIS_NET4:-198.18.$INDEX}; NET6=${OUTIS_NET6:-fd00:198:18:$INDEX}
HOST_IP=$NET4.1; HOST_IP6=$NET6::1             # the machine, as pods and apiserver see it
HOST_IF=outis$INDEX
NETNS=outis-$NAME                              # node 1's; $NETNS.I of node I, $NETNS.lan the switch
POD_NET4=${OUTIS_POD_NET4:-10.244}; POD_NET6=${OUTIS_POD_NET6:-fd00:10:244}
POD_CIDR4=$POD_NET4.0.0/16; POD_CIDR6=$POD_NET6::/56; POD_CIDR=$POD_CIDR4,$POD_CIDR6
SVC_CIDR=${OUTIS_SVC_CIDR:-10.96.0.0/16,fd00:10:96::/112}
SVC_API_IP=${OUTIS_SVC_API_IP:-10.96.0.1}
DNS_IP=${OUTIS_DNS_IP:-10.96.0.10}; DNS_IP6=${OUTIS_DNS_IP6:-fd00:10:96::a}
K8S_VERSION=v1.36.3
CONTAINERD_VERSION=v2.3.7
BIN=$CACHE/bin
PKI=$STATE/pki
KCFG=$STATE/kubeconfig
RUN=$STATE/run
LOG=$STATE/log
CRI_SOCK=$CRI_DIR/containerd.sock
# node I: sets SFX (of pid files, logs, keys), ND (its state), NN (its name), NODE_NS
# (network namespace), addresses, pod subnets, CG (its cgroup, seen from the machine)
node() {
  I=$1; ND=$STATE/node$I; SFX=; NN=$NODE_NAME; NODE_NS=$NETNS
  [ "$I" = 1 ] || { SFX=-$I; NN+=$SFX; NODE_NS+=.$I; }
  NODE_IP=$NET4.$((I + 1)); NODE_IP6=$NET6::$(printf %x $((I + 1)))
  POD_SUBNET=$POD_NET4.$((I - 1)).0/24; POD_SUBNET6=$POD_NET6$([ "$I" = 1 ] || printf :%x $((I - 1)))::/64
  CG=outis-$NAME/node$I
}
node 1; API_IP=$NODE_IP; API_IP6=$NODE_IP6
say() { printf '[%(%H:%M:%S)T] %s\n' -1 "$*" >&2; }
die() { say "error: $*"; exit 1; }

# alive NAME: its pid file names a live process started by us (start time
# recorded beside the pid, so that a reused pid is never taken for ours).
proc_start() { local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; s=${s##*) }; set -- $s; [ "$1" != Z ] || return 1; echo "${20}"; }
alive() {
  local pid st
  read -r pid st 2>/dev/null <"$RUN/$1.pid" || return 1
  [ -n "$pid" ] && [ "$(proc_start "$pid")" = "$st" ]
}
pid_of() { local pid st; read -r pid st <"$RUN/$1.pid" && echo "$pid"; }
remember() { echo "$2 $(proc_start "$2")" >"$RUN/$1.pid"; }
# start NAME CMD...: a daemon of its own session, log in $LOG/NAME.log. Started
# again when it runs with another command line (options changed).
start() {
  local n=$1; shift
  if alive "$n"; then
    [ "$(cat "$RUN/$n.cmd" 2>/dev/null)" = "$*" ] && return 0
    say "$n: options changed, starting it again"; stop "$n" 30
  fi
  setsid "$@" >>"$LOG/$n.log" 2>&1 </dev/null &
  remember "$n" $!
  echo "$*" >"$RUN/$n.cmd"
}
# enter: sets NS, the command prefix that runs a command inside of node I's namespaces
# (and, nested, in its cgroup; nsenter forks then and the command is its child).
enter() {
  local p; p=$(pid_of "mntns$SFX") || return 1
  NS=(nsenter -m -n -u -t "$p" --)
  # shellcheck disable=SC2016
  [ "$NESTED" = 0 ] || NS=(sh -c 'for c in /sys/fs/cgroup/*/"$0"; do echo $$ >"$c/cgroup.procs"; done; t=$1; shift; exec nsenter -m -n -u -p -C -t "$t" -- "$@"' "$CG" "$p")
}
child_of() { # child_of PID: its only child, once it is there
  local c i
  for i in $(seq 100); do c=$(cat "/proc/$1/task/$1/children" 2>/dev/null) || return 1; [ -z "$c" ] || { echo "${c%% *}"; return 0; }; sleep 0.02; done
  return 1
}
# start_cp: a daemon in the control plane's network namespace; start_ns: in node I's namespaces.
start_cp() { local n=$1; shift; start "$n" nsenter --net="/run/netns/$NETNS" -- "$@"; }
start_ns() {
  local n=$1$SFX c; shift
  enter; start "$n" "${NS[@]}" "$@"
  [ "$NESTED" = 0 ] || [ "$(cat "/proc/$(pid_of "$n")/comm")" != nsenter ] && [ "$(cat "/proc/$(pid_of "$n")/comm" 2>/dev/null)" != sh ] || { c=$(child_of "$(pid_of "$n")") && remember "$n" "$c"; }
}
stop() { # stop NAME [TENTHS OF A SECOND until SIGKILL]
  local n=$1 wait=${2:-100} i pid
  alive "$n" || { rm -f "$RUN/$n.pid"; return 0; }
  pid=$(pid_of "$n")
  kill -TERM "$pid" 2>/dev/null
  for ((i = 0; i < wait; i++)); do alive "$n" || break; sleep 0.1; done
  alive "$n" && kill -KILL "$pid"
  rm -f "$RUN/$n.pid"
}
in_node() { enter && "${NS[@]}" "$@"; }
ctr() { in_node "$BIN/ctr" -a "$CRI_SOCK" -n k8s.io "$@"; }
each_node() { local i r=0; for ((i = 1; i <= NODES; i++)); do node "$i"; "$@" || r=1; done; node 1; return $r; }
# mkimage REF ROOTFS CONFIG-JSON: an image of one layer, imported on every node.
mkimage() {
  local d; d=$(mktemp -d "$STATE/img.XXXXXX")
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$2" -cf "$d/layer" .
  mkdir -p "$d/oci/blobs/sha256"
  local ld cd md; ld=$(sha256sum "$d/layer" | cut -d' ' -f1); mv "$d/layer" "$d/oci/blobs/sha256/$ld"
  jq -cn --argjson c "$3" --arg l "sha256:$ld" '{architecture:"amd64",os:"linux",config:$c,rootfs:{type:"layers",diff_ids:[$l]}}' >"$d/c"
  cd=$(sha256sum "$d/c" | cut -d' ' -f1)
  jq -cn --arg l "sha256:$ld" --arg c "sha256:$cd" --argjson ls "$(stat -c %s "$d/oci/blobs/sha256/$ld")" --argjson cs "$(stat -c %s "$d/c")" \
    '{schemaVersion:2,mediaType:"application/vnd.oci.image.manifest.v1+json",config:{mediaType:"application/vnd.oci.image.config.v1+json",digest:$c,size:$cs},layers:[{mediaType:"application/vnd.oci.image.layer.v1.tar",digest:$l,size:$ls}]}' >"$d/m"
  md=$(sha256sum "$d/m" | cut -d' ' -f1)
  mv "$d/c" "$d/oci/blobs/sha256/$cd"; cp "$d/m" "$d/oci/blobs/sha256/$md"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$d/oci/oci-layout"
  jq -cn --arg m "sha256:$md" --argjson ms "$(stat -c %s "$d/m")" --arg r "$1" \
    '{schemaVersion:2,manifests:[{mediaType:"application/vnd.oci.image.manifest.v1+json",digest:$m,size:$ms,annotations:{"io.containerd.image.name":$r,"org.opencontainers.image.ref.name":"latest"}}]}' >"$d/oci/index.json"
  tar -C "$d/oci" -cf "$d/img.tar" .
  each_node ctr images import "$d/img.tar" >/dev/null 2>&1
  rm -rf "$d"
}
