use outis_model::Timestamp;
use outis_model::input::Protection;

use super::*;
use crate::network::{Enforcement, NodeNetwork};
use crate::status::{ComponentState, NodeState};

fn part(name: &str, ready: i32, stuck: Option<&str>) -> PartState {
    PartState { part: name.into(), ready, wanted: 1, stuck: stuck.map(str::to_owned) }
}

fn agent(version: &str) -> ComponentState {
    ComponentState {
        role: "agent".into(),
        pod: "outis-agent-x".into(),
        node: "n1".into(),
        version: version.into(),
        up: true,
        since: Timestamp::UNIX_EPOCH,
        protections: vec![],
        facts: vec![],
        counters: Default::default(),
    }
}

fn on(node: &str, enforcement: Enforcement) -> NodeNetwork {
    NodeNetwork { node: node.into(), enforcement, note: "as seen".into(), since: Timestamp::UNIX_EPOCH }
}

fn sound() -> Examined {
    let status = Status {
        version: "1".into(),
        components: vec![agent("1")],
        network: vec![on("n1", Enforcement::Enforced)],
        ..Status::default()
    };
    Examined {
        server: "v1.36.3".into(),
        forbidden: vec![],
        parts: Ok(vec![part("agent", 1, None), part("controller", 1, None), part("webhook", 1, None)]),
        status: Ok(Box::new(status)),
        skew: Some(1),
        claim: Ok(Some("Bound".into())),
        daemon_sets: vec!["cilium".into()],
        policies: Some(2),
        version: "1".into(),
        chain: Some(Ok(())),
    }
}

/// The one check that is not fine after a change, as `name standing: text; fix`.
#[track_caller]
fn after(change: impl FnOnce(&mut Examined)) -> String {
    let mut examined = sound();
    change(&mut examined);
    let wrong: Vec<Check> =
        super::examine(&examined).into_iter().filter(|check| check.standing != Standing::Fine).collect();
    assert!(!wrong.is_empty(), "nothing was found");
    let first = &wrong[0];
    format!("{} {:?}: {}; {}", first.name, first.standing, first.text, first.fix.clone().unwrap_or_default())
}

#[test]
fn a_sound_installation_has_no_findings() {
    assert!(super::examine(&sound()).iter().all(|check| check.standing == Standing::Fine));
}

#[test]
fn each_check_can_fail_and_prints_its_fix() {
    let told = after(|examined| examined.server = "v1.27.1".into());
    assert!(told.starts_with("cluster Limited: Kubernetes v1.27.1; ") && told.contains("1.30"), "{told}");
    let told = after(|examined| examined.forbidden = vec!["patch clusterroles".into()]);
    assert!(told.starts_with("permissions Limited: you may not patch clusterroles; ask a cluster"), "{told}");
    let told = after(|examined| examined.parts = Ok(vec![part("agent", 0, Some("image missing"))]));
    assert_eq!(told, "part/agent Missing: 0 of 1 ready; image missing");
    let told = after(|examined| examined.parts = Ok(vec![part("agent", 0, None)]));
    assert_eq!(told, "part/agent Missing: 0 of 1 ready; look at `kubectl -n outis-system get pods`");
    let told = after(|examined| examined.parts = Ok(vec![]));
    assert_eq!(told, "parts Missing: Outis is not installed; run `outis install`");
    let told = after(|examined| examined.claim = Ok(Some("Pending".into())));
    assert!(told.starts_with("volume Missing: the store's claim is Pending; give it a volume"), "{told}");
    let told = after(|examined| examined.claim = Ok(None));
    assert_eq!(told, "volume Missing: there is no claim for the store; run `outis install`");
    let told = after(|examined| examined.chain = Some(Err("unknown issuer".into())));
    assert!(
        told.starts_with(
            "webhook Missing: the API server does not believe the webhook: unknown issuer; delete"
        ),
        "{told}"
    );
    let told = after(|examined| examined.skew = Some(-90));
    assert!(
        told.starts_with("clock Missing: the controller's clock is -90 s from this machine's; set both"),
        "{told}"
    );
    let told = after(|examined| examined.version = "2".into());
    assert!(
        told.starts_with(
            "versions Limited: this binary is 2, controller is 1, agent outis-agent-x is 1; bring"
        ),
        "{told}"
    );
    let told = after(|examined| examined.status = Err("no answer".into()));
    assert_eq!(told, "controller Missing: no answer; see part/controller");
}

#[test]
fn what_cannot_be_seen_is_unknown_and_never_absent() {
    let told = after(|examined| examined.server = String::new());
    assert_eq!(
        told,
        "cluster Unknown: the cluster does not say its version; let this user read /version (ClusterRole system:public-info-viewer)"
    );
    let told = after(|examined| examined.parts = Err("pods is forbidden".into()));
    assert!(
        told.starts_with(
            "parts Unknown: whether Outis is installed cannot be read: pods is forbidden; ask a"
        ),
        "{told}"
    );
    let told = after(|examined| examined.claim = Err("refused".into()));
    assert!(
        told.starts_with("volume Unknown: the store's claim cannot be read: refused; ask a cluster"),
        "{told}"
    );
    let told = after(|examined| examined.skew = None);
    assert_eq!(told, "clock Unknown: no Lease tells the controller's clock; see part/controller");
}

/// What `outis doctor` prints of one fact of a node whose file system holds these files.
fn of_node(fact: &str, files: &[(&str, &str)]) -> String {
    let root = tempfile::tempdir().expect("dir");
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("deep")).expect("dir");
        match name.ends_with("ns/pid") {
            true => std::os::unix::fs::symlink(text, &path).expect("link"),
            false => std::fs::write(&path, text).expect("file"),
        }
    }
    let mut facts = crate::mode::agent::told(outis_node::facts(root.path()));
    facts.retain(|found| found.name == fact);
    after(|examined| examined.status.as_mut().expect("answers").components[0].facts = facts)
}

#[test]
fn each_fact_of_a_node_can_fail_and_prints_its_fix() {
    const RELEASE: &str = "proc/sys/kernel/osrelease";
    const STATUS: &str = "proc/self/status";
    const NO_RIGHTS: &str = "CapEff:\t0000000000000000\n";
    for (fact, files, expected) in [
        (
            "kernel",
            &[(RELEASE, "5.10.0-32-amd64")][..],
            ["Missing: 5.10.0-32-amd64: ", "; use a node with a newer kernel"],
        ),
        (
            "kernel",
            &[(RELEASE, "6.1.0-18-amd64")],
            ["Limited: 6.1.0-18-amd64: ", "; use a node with Linux 6.18"],
        ),
        ("kernel", &[], ["Missing: unknown: /proc cannot be read", "; mount /proc"]),
        ("btf", &[], ["Missing: absent: ", "; use a kernel built with CONFIG_DEBUG_INFO_BTF"]),
        (
            "bpf",
            &[(STATUS, NO_RIGHTS)],
            ["Missing: refused: ", "; run the agent as root with CAP_BPF and CAP_PERFMON"],
        ),
        ("cgroup", &[], ["Limited: none: ", "; mount the node's /sys/fs/cgroup into the agent"]),
        ("tracefs", &[(STATUS, NO_RIGHTS)], ["Missing: not mounted: ", "; on the node: mount -t tracefs"]),
        ("bpffs", &[], ["Limited: not mounted: ", "; mount -t bpf bpf /sys/fs/bpf"]),
        (
            "pid-namespace",
            &[("proc/self/ns/pid", "pid:[4026532001]")],
            ["Limited: nested: ", "; on an ordinary node run"],
        ),
        (
            "lsm",
            &[("sys/kernel/security/lsm", "lockdown,yama")],
            ["Limited: inactive: ", "; boot with `lsm=...,bpf`"],
        ),
        ("io_uring", &[], ["Limited: enabled: ", "; sysctl kernel.io_uring_disabled=2"]),
        ("ia32", &[("proc/sys/abi/vsyscall32", "1")], ["Limited: on: ", "; boot with `ia32_emulation=off`"]),
    ] {
        let told = of_node(fact, files);
        assert!(told.starts_with(&format!("node/n1/{fact} ")), "{told}");
        expected.iter().for_each(|part| assert!(told.contains(part), "no word of {part:?}: {told}"));
    }
}

#[test]
fn what_a_node_lacks_is_told_by_its_agent() {
    let fact = Fact {
        name: "tracefs".into(),
        standing: Standing::Missing,
        text: "not mounted".into(),
        fix: Some("mount -t tracefs tracefs /sys/kernel/tracing".into()),
    };
    let told = after(|examined| {
        examined.status.as_mut().expect("answers").components[0].facts = vec![fact];
    });
    assert_eq!(told, "node/n1/tracefs Missing: not mounted; mount -t tracefs tracefs /sys/kernel/tracing");
    let told = after(|examined| {
        let lost = Protection { name: "detection".into(), active: false, note: "no BTF".into() };
        examined.status.as_mut().expect("answers").components[0].protections = vec![lost];
    });
    assert!(told.starts_with("node/n1/detection Missing: no BTF; "), "{told}");
    let told = after(|examined| {
        let node = NodeState { name: "n2".into(), covered: false, note: "no agent is linked yet".into() };
        examined.status.as_mut().expect("answers").nodes = vec![node];
    });
    assert_eq!(told, "node/n2 Missing: not covered: no agent is linked yet; see part/agent");
}

/// The check `network` when the nodes are like this.
fn network(daemon_set: &str, policies: Option<usize>, nodes: &[NodeNetwork]) -> String {
    let mut examined = sound();
    (examined.daemon_sets, examined.policies) = (vec![daemon_set.into()], policies);
    examined.status.as_mut().expect("answers").network = nodes.to_vec();
    let check = super::network(&examined);
    format!("{:?}: {}; {}", check.standing, check.text, check.fix.unwrap_or_default())
}

#[test]
fn the_canary_proves_who_enforces_and_the_name_alone_proves_nothing() {
    let told = network("calico-node", Some(2), &[on("n1", Enforcement::Enforced)]);
    assert_eq!(
        told,
        "Fine: the network plugin calico-node enforces NetworkPolicy on 1 of 1 nodes (probed); "
    );
    let told = network("flannel", Some(2), &[on("n1", Enforcement::Enforced)]);
    assert_eq!(told, "Fine: somebody enforces NetworkPolicy on 1 of 1 nodes (probed); ");
    let told = network("calico-node", Some(2), &[on("n1", Enforcement::Nobody)]);
    assert!(told.starts_with("Limited: nobody enforces NetworkPolicy on 1 of 1 nodes (probed); "), "{told}");
    let told = network("calico-node", Some(2), &[on("n1", Enforcement::NotProbed)]);
    assert!(told.starts_with("Unknown: 1 of 1 nodes not probed (as seen); before you rely"), "{told}");
    let told = network("calico-node", Some(2), &[on("n1", Enforcement::Partly)]);
    let part =
        "Limited: NetworkPolicy is enforced only in part on 1 of 1 nodes (probed) (as seen); run a network";
    assert!(told.starts_with(part), "{told}");
    let told = network("calico-node", Some(2), &[]);
    assert!(told.starts_with("Unknown: the canary has not looked at any node yet; "), "{told}");
}

#[test]
fn policies_that_nobody_enforces_are_counted() {
    let nodes = [on("n1", Enforcement::Nobody)];
    for (policies, text) in [
        (Some(0), "there is no NetworkPolicy yet"),
        (Some(1), "1 NetworkPolicy in this cluster has no effect there; run a network plugin that enforces"),
        (Some(7), "7 NetworkPolicies in this cluster have no effect there; run"),
        (None, "you may not see how many there are"),
    ] {
        let told = network("kube-flannel", policies, &nodes);
        assert!(told.contains(text), "{told}");
    }
}

#[test]
fn a_controller_that_is_away_probes_nothing() {
    let mut examined = sound();
    examined.status = Err("no answer".into());
    let check = super::network(&examined);
    assert_eq!((check.standing, check.fix.as_deref()), (Standing::Unknown, Some("see part/controller")));
}

#[test]
fn what_nobody_can_tell_is_not_fine() {
    let told = after(|examined| examined.server = "latest".into());
    assert!(
        told.starts_with("cluster Unknown: the cluster does not say its version; let this user"),
        "{told}"
    );
    let told = after(|examined| examined.skew = None);
    assert!(told.starts_with("clock Unknown: no Lease tells the controller's clock; see part"), "{told}");
    let told = after(|examined| examined.claim = Ok(None));
    assert_eq!(told, "volume Missing: there is no claim for the store; run `outis install`");
    let told = after(|examined| examined.parts = Ok(vec![part("webhook", 0, None)]));
    assert_eq!(told, "part/webhook Missing: 0 of 1 ready; look at `kubectl -n outis-system get pods`");
    let mut silent = sound();
    silent.status = Err("no answer".into());
    let versions = super::examine(&silent).into_iter().find(|check| check.name == "versions");
    assert_eq!(versions.map(|check| check.standing), Some(Standing::Unknown));
}

#[test]
fn the_last_that_is_good_enough_is() {
    let mut examined = sound();
    examined.server = "v1.30.0".into();
    examined.skew = Some(-SKEW);
    examined.chain = None;
    assert!(super::examine(&examined).iter().all(|check| check.standing == Standing::Fine));
    let told = after(|examined| examined.server = "v1.29.9".into());
    assert!(told.starts_with("cluster Limited"), "{told}");
    let told = after(|examined| examined.skew = Some(SKEW + 1));
    assert!(told.starts_with("clock Missing"), "{told}");
}

/// An agent that is away may be of another version and may lack anything: its node is told as not covered.
#[test]
fn what_is_away_is_not_judged() {
    let mut examined = sound();
    let status = examined.status.as_mut().expect("answers");
    let mut away = agent("0");
    away.up = false;
    away.protections = vec![Protection { name: "detection".into(), active: false, note: "no BTF".into() }];
    away.facts =
        vec![Fact { name: "tracefs".into(), standing: Standing::Missing, text: "no".into(), fix: None }];
    status.components.push(away);
    let mut webhook = agent("1");
    webhook.role = "webhook".into();
    webhook.facts =
        vec![Fact { name: "tracefs".into(), standing: Standing::Missing, text: "no".into(), fix: None }];
    status.components.push(webhook);
    assert!(super::examine(&examined).iter().all(|check| check.standing == Standing::Fine));
}
