use outis_model::Timestamp;
use outis_model::input::Protection;

use super::*;
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

fn sound() -> Examined {
    let status = Status { version: "1".into(), components: vec![agent("1")], ..Status::default() };
    Examined {
        server: "v1.36.3".into(),
        forbidden: vec![],
        parts: vec![part("agent", 1, None), part("controller", 1, None), part("webhook", 1, None)],
        status: Ok(Box::new(status)),
        skew: Some(1),
        claim: Some("Bound".into()),
        daemon_sets: vec!["cilium".into()],
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
    let told = after(|examined| examined.parts[0] = part("agent", 0, Some("image missing")));
    assert_eq!(told, "part/agent Missing: 0 of 1 ready; image missing");
    let told = after(|examined| examined.parts.clear());
    assert_eq!(told, "parts Missing: Outis is not installed; run `outis install`");
    let told = after(|examined| examined.claim = Some("Pending".into()));
    assert!(told.starts_with("volume Missing: the store's claim is Pending; give it a volume"), "{told}");
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
    let told = after(|examined| examined.daemon_sets.clear());
    assert!(told.starts_with("network Unknown: no network plugin known"), "{told}");
    let told = after(|examined| examined.status = Err("no answer".into()));
    assert_eq!(told, "controller Missing: no answer; see part/controller");
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
