use super::*;

fn protection(name: &str, active: bool) -> Protection {
    Protection { name: name.into(), active, note: "why".into() }
}

fn component(role: &str, up: bool, protections: Vec<Protection>) -> ComponentState {
    ComponentState {
        role: role.into(),
        pod: "p".into(),
        node: "n1".into(),
        version: "1".into(),
        up,
        since: Timestamp::UNIX_EPOCH,
        protections,
        facts: vec![],
        counters: BTreeMap::new(),
    }
}

fn node(name: &str, covered: bool) -> NodeState {
    NodeState { name: name.into(), covered, note: "no agent".into() }
}

#[test]
fn nothing_is_wrong_where_everything_is_in_force() {
    let status = Status {
        components: vec![component("agent", true, vec![protection("detection", true)])],
        nodes: vec![node("n1", true)],
        protections: vec![protection("admission", true)],
        ..Status::default()
    };
    assert_eq!(status.faults(), [""; 0]);
}

#[test]
fn each_thing_that_is_not_in_force_is_a_sentence() {
    let status = Status {
        components: vec![
            component("agent", true, vec![protection("detection", false), protection("identity", true)]),
            component("webhook", true, vec![]),
        ],
        nodes: vec![node("n1", true), node("n2", false)],
        protections: vec![protection("admission", false), protection("issuance", true)],
        store: StoreState { damage: Some("records 3 to 4 are gone".into()), ..StoreState::default() },
        stale: vec!["pods since 12:00".into()],
        ..Status::default()
    };
    assert_eq!(
        status.faults(),
        [
            "node n2 is not covered: no agent",
            "detection of agent p on n1 is not in force: why",
            "webhook p on n1 has not said what it keeps up",
            "admission is not in force: why",
            "the store takes no records: records 3 to 4 are gone",
            "the controller is behind the cluster: pods since 12:00",
        ]
    );
}

/// Its node is told as not covered; what it said before it went is no news.
#[test]
fn what_a_component_that_is_away_said_last_is_not_told_again() {
    let away = vec![component("agent", false, vec![protection("detection", false)])];
    assert_eq!(Status { components: away, ..Status::default() }.faults(), [""; 0]);
}
