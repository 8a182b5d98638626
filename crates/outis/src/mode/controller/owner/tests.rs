use outis_model::input::Reach;
use outis_model::snapshot::{Node, Object};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

fn fresh(second: i64) -> Fresh {
    Fresh { now: at(second), random: 7 }
}

fn node(name: &str) -> Object {
    let name = name.parse().expect("name");
    Object::Node(Node {
        name,
        architecture: "amd64".into(),
        addresses: vec![],
        ready: true,
        schedulable: true,
    })
}

fn agent(node: &str) -> Component {
    Component { role: Role::Agent, pod: format!("outis-agent-{node}"), node: node.parse().expect("name") }
}

fn world() -> World {
    let mut world = World::default();
    for (kind, objects) in
        [(Kind::Pod, vec![]), (Kind::Namespace, vec![]), (Kind::Node, vec![node("n1"), node("n2")])]
    {
        assert!(world.fold(Input::Observed(Change::Reset(kind, objects)), fresh(0)).is_empty());
    }
    world
}

fn link(world: &mut World, node: &str, up: bool, second: i64) -> usize {
    let input = Input::Linked { component: agent(node), version: "1".into(), up };
    world.fold(input, fresh(second)).len()
}

fn said(effects: &[Effect]) -> Vec<String> {
    let text = |effect: &Effect| match effect {
        Effect::Append(record) => format!("{:?} {}", record.priority, record.summary),
        other => format!("{other:?}"),
    };
    effects.iter().map(text).collect()
}

#[test]
fn a_node_without_an_agent_is_told_once_after_its_patience_and_again_when_it_is_back() {
    let mut world = world();
    link(&mut world, "n1", true, 1);
    assert!(world.fold(Input::Tick(at(10)), fresh(10)).is_empty());
    let told = said(&world.fold(Input::Tick(at(40)), fresh(40)));
    assert_eq!(told, ["Warning node n2 is not covered: no agent has been linked for 30 s"]);
    assert!(world.fold(Input::Tick(at(50)), fresh(50)).is_empty(), "told once");
    link(&mut world, "n2", true, 55);
    assert_eq!(said(&world.fold(Input::Tick(at(56)), fresh(56))), ["Notice node n2 is covered again"]);
}

#[test]
fn nothing_is_said_of_nodes_before_the_cluster_was_seen() {
    let mut world = World::default();
    world.fold(Input::Observed(Change::Applied(node("n1"))), fresh(0));
    assert!(world.fold(Input::Tick(at(10)), fresh(10)).is_empty());
    assert!(world.fold(Input::Tick(at(100)), fresh(100)).is_empty());
}

#[test]
fn a_link_is_recorded_when_it_changes_and_not_when_it_is_repeated() {
    let mut world = world();
    assert_eq!(link(&mut world, "n1", true, 1), 1);
    assert_eq!(link(&mut world, "n1", true, 2), 0);
    assert_eq!(link(&mut world, "n1", false, 3), 1);
    assert!(!world.covered(&"n1".parse().expect("name")));
}

#[test]
fn who_is_away_and_has_no_pod_is_forgotten() {
    let mut world = world();
    link(&mut world, "n1", true, 1);
    link(&mut world, "n1", false, 2);
    world.fold(Input::Tick(at(10)), fresh(10));
    assert_eq!(world.components.len(), 1);
    world.fold(Input::Tick(at(40)), fresh(40));
    assert_eq!(world.components.len(), 0);
}

#[test]
fn an_alert_of_a_pod_is_announced_and_an_informational_one_is_not() {
    let mut world = world();
    let mut alert = record(Subject::default(), "a shell".into(), Priority::Notice, &mut fresh(1));
    alert.kind = RecordKind::Alert;
    alert.subject =
        Subject { namespace: "shop".parse().ok(), kind: "Pod".into(), name: "web".parse().ok(), node: None };
    let announced = |world: &mut World, record: &Record| {
        let report = Report::Record(record.clone());
        world.fold(Input::Reported { from: agent("n1"), report }, fresh(2)).len()
    };
    assert_eq!(announced(&mut world, &alert), 1);
    alert.priority = Priority::Informational;
    assert_eq!(announced(&mut world, &alert), 0);
}

/// Three looks at node n1 with these ports answering.
fn probed(world: &mut World, open: Reach, denied: Reach) -> Vec<String> {
    let probe = Probe {
        node: "n1".parse().expect("name"),
        pod: "outis-webhook-a".parse().expect("name"),
        address: "10.0.0.1".parse().expect("address"),
        open,
        denied,
    };
    let look = |_| world.fold(Input::Probed(vec![probe.clone()]), fresh(5));
    said(&(0..3).flat_map(look).collect::<Vec<_>>())
}

#[test]
fn who_enforces_network_policies_is_recorded_when_it_changes_and_a_loss_is_a_warning() {
    let mut world = world();
    let silent = || Reach::Silent("nothing within 2 s".into());
    let open = Reach::Answered;
    let told = probed(&mut world, open.clone(), Reach::Answered);
    assert_eq!(told, ["Notice node n1: nobody enforces NetworkPolicy"]);
    assert!(probed(&mut world, open.clone(), Reach::Answered).is_empty(), "told once");
    let told = probed(&mut world, open.clone(), silent());
    assert_eq!(told, ["Notice node n1: NetworkPolicy is enforced"]);
    let told = probed(&mut world, silent(), silent());
    assert_eq!(told, ["Notice node n1: whether NetworkPolicy is enforced cannot be told"]);
    let told = probed(&mut world, open, Reach::Answered);
    assert_eq!(told, ["Warning node n1: nobody enforces NetworkPolicy any more"]);
}

#[test]
fn what_a_component_holds_is_known_by_version_and_outlives_its_link() {
    let mut world = World::default();
    let told = |world: &mut World, version, error: Option<&str>, second| {
        let (from, name) = (agent("n1"), "trust-bundle".to_owned());
        let input = Input::Acknowledged { from, name, version, error: error.map(str::to_owned) };
        assert!(world.fold(input, fresh(second)).is_empty());
        world.components.get(&agent("n1")).and_then(|state| state.holds.get("trust-bundle").cloned())
    };
    assert_eq!(told(&mut world, 1, None, 1), None, "who never linked is not remembered by what it says");
    link(&mut world, "n1", true, 2);
    let held = |version, error: Option<&str>| {
        Some(Holding { version: Some(version), error: error.map(str::to_owned) })
    };
    assert_eq!(told(&mut world, 2, None, 3), held((2, at(3)), None));
    // An older word that arrives late, or the same again, changes nothing; a refusal takes nothing back.
    assert_eq!(told(&mut world, 1, None, 4), held((2, at(3)), None));
    assert_eq!(told(&mut world, 2, None, 5), held((2, at(3)), None));
    assert_eq!(told(&mut world, 3, Some("no JSON"), 6), held((2, at(3)), Some("no JSON")));
    link(&mut world, "n1", false, 7);
    link(&mut world, "n1", true, 8);
    assert_eq!(told(&mut world, 3, None, 9), held((3, at(9)), None));
}
