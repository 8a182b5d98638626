use outis_model::input::Role;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).expect("time")
}

fn agent(node: &str) -> Component {
    Component { role: Role::Agent, pod: format!("outis-agent-{node}"), node: node.parse().expect("name") }
}

fn rotation(phase: Phase, version: u64) -> Rotation {
    Rotation { phase, version, since: at(0), by: "jo".into() }
}

fn holds(version: u64, second: i64) -> Holder {
    Holder { up: true, holds: Some((version, at(second))), error: None }
}

/// Nodes n1, n2, ... and how they stand.
fn seen<const N: usize>(holders: [Holder; N]) -> Seen {
    let named = |(number, holder): (usize, Holder)| (agent(&format!("n{}", number + 1)), holder);
    Seen { holders: holders.into_iter().enumerate().map(named).collect(), ..Seen::default() }
}

fn told(decision: &Decision<Step>) -> Vec<String> {
    decision.because.iter().map(|reason| format!("{}: {}", reason.code, reason.text)).collect()
}

#[test]
fn nothing_happens_unless_somebody_asks_or_the_root_is_due() {
    let steady = Rotation::default();
    assert_eq!(step(&steady, &seen([]), at(0)).outcome, Step::Wait);
    let due = Seen { root_due: true, ..seen([]) };
    let decision = step(&steady, &due, at(0));
    assert_eq!(decision.outcome, Step::Prepare);
    assert_eq!(told(&decision), ["RootDue: a tenth of the root's life is left"]);
    assert_eq!(asked(&steady).outcome, Step::Prepare);
}

#[test]
fn asked_for_twice_the_first_goes_on_and_the_second_is_told() {
    for phase in [Phase::Prepared, Phase::Published, Phase::Activated, Phase::Retiring] {
        let decision = asked(&rotation(phase, 2));
        assert_eq!(decision.outcome, Step::Wait, "{phase}");
        let text =
            format!("UnderWay: a new root is under way already: asked for by jo, {phase} since {}", at(0));
        assert_eq!(told(&decision), [text]);
    }
}

/// Every state with what is seen in it, and what follows.
#[test]
fn each_phase_goes_on_when_its_condition_holds_and_not_before() {
    let leaves = |until| Seen { last_leaf: Some(at(until)), ..seen([]) };
    let away = Holder::default();
    let stale = Holder { up: true, ..Holder::default() };
    let refuses = Holder { error: Some("no JSON".into()), holds: Some((1, at(0))), ..stale.clone() };
    let table = [
        (Phase::Prepared, seen([away.clone()]), 0, Step::Publish),
        // Everybody holds it, or the bundle is still on its way to workloads.
        (Phase::Published, seen([holds(2, 1), holds(3, 2)]), 12, Step::Activate(vec![])),
        (Phase::Published, seen([holds(2, 1), holds(2, 5)]), 12, Step::Wait),
        (Phase::Published, seen([holds(2, 1), holds(1, 1)]), 12, Step::Wait),
        (Phase::Published, seen([]), 0, Step::Activate(vec![])),
        // Bounded: away, silent and refusing ones hold it up for two minutes.
        (Phase::Published, seen([holds(2, 1), away.clone()]), 119, Step::Wait),
        (Phase::Published, seen([holds(2, 1), away.clone()]), 120, Step::Activate(vec![agent("n2")])),
        (Phase::Published, seen([stale.clone()]), 119, Step::Wait),
        (Phase::Published, seen([stale]), 120, Step::Activate(vec![agent("n1")])),
        (Phase::Published, seen([refuses]), 120, Step::Activate(vec![agent("n1")])),
        // One that went away with the bundle in its hands holds nobody up.
        (Phase::Published, seen([Holder { up: false, ..holds(2, 1) }]), 12, Step::Activate(vec![])),
        // Both roots are trusted until no leaf of the old one can be shown, and a little longer.
        (Phase::Activated, leaves(100), 109, Step::Wait),
        (Phase::Activated, leaves(100), 110, Step::Retire),
        (Phase::Activated, seen([]), 59, Step::Wait),
        (Phase::Activated, seen([]), 60, Step::Retire),
        (Phase::Retiring, seen([holds(2, 1)]), 30, Step::Finish(vec![])),
        (Phase::Retiring, seen([holds(1, 1)]), 30, Step::Wait),
        (Phase::Retiring, seen([away]), 121, Step::Finish(vec![agent("n1")])),
    ];
    for (number, (phase, seen, second, expected)) in table.into_iter().enumerate() {
        let decision = step(&rotation(phase, 2), &seen, at(second));
        assert_eq!(decision.outcome, expected, "row {number}: {:?}", told(&decision));
        assert!(!decision.because.is_empty(), "row {number} has no reason");
    }
}

#[test]
fn a_node_that_dies_midway_is_left_out_by_name() {
    let state = rotation(Phase::Published, 2);
    let waits = step(&state, &seen([holds(2, 1), Holder::default()]), at(60));
    assert_eq!(told(&waits), ["NotHeld: outis:agent:n2 (pod outis-agent-n2 on n2) has been away"]);
    let goes_on = step(&state, &seen([holds(2, 1), Holder::default()]), at(130));
    assert_eq!(
        told(&goes_on),
        [
            "Held: 1 of 2 components hold bundle 2",
            "LeftOut: outis:agent:n2 (pod outis-agent-n2 on n2) has been away for 120 s; it reads the roots when it is back"
        ]
    );
}

#[test]
fn a_node_that_comes_back_with_the_old_bundle_is_waited_for_again() {
    let state = rotation(Phase::Published, 2);
    let back = Holder { up: true, holds: Some((1, at(-500))), error: None };
    assert_eq!(step(&state, &seen([back]), at(20)).outcome, Step::Wait);
    // The link pushes what it lacks at once; then it counts.
    assert_eq!(step(&state, &seen([holds(2, 21)]), at(31)).outcome, Step::Activate(vec![]));
}

#[test]
fn a_restart_gives_everybody_the_time_to_come_back_in_every_phase() {
    for phase in [Phase::Prepared, Phase::Published, Phase::Activated, Phase::Retiring] {
        let text = serde_json::to_string(&rotation(phase, 7)).expect("JSON");
        let read: Rotation = serde_json::from_str(&text).expect("JSON");
        let resumed = read.clone().resumed(at(5000));
        assert_eq!(resumed, Rotation { since: at(5000), ..rotation(phase, 7) });
        let nobody_yet = Seen { last_leaf: Some(at(5001)), ..seen([Holder::default()]) };
        let expected = if phase == Phase::Prepared { Step::Publish } else { Step::Wait };
        assert_eq!(step(&resumed, &nobody_yet, at(5000)).outcome, expected, "{phase}");
    }
    assert_eq!(Rotation::default().resumed(at(9)), Rotation::default());
}

#[test]
fn a_clock_that_runs_back_begins_the_waiting_anew_and_retires_nothing_early() {
    for phase in [Phase::Prepared, Phase::Published, Phase::Activated, Phase::Retiring] {
        let state = Rotation { since: at(3600), ..rotation(phase, 2) };
        let decision = step(&state, &seen([Holder::default()]), at(0));
        assert_eq!(decision.outcome, Step::Recount, "{phase}");
        let recounted = state.after(&decision.outcome, "", at(0));
        assert_eq!(recounted, Rotation { since: at(0), ..state.clone() });
    }
    // Away for the whole of it: bounded by the clock as it goes now.
    let state = rotation(Phase::Published, 2);
    assert_eq!(step(&state, &seen([Holder::default()]), at(120)).outcome, Step::Activate(vec![agent("n1")]));
    // Taken over at a time that has not come yet by the new clock.
    assert_eq!(step(&state, &seen([holds(2, 3600)]), at(1)).outcome, Step::Activate(vec![]));
    // A leaf is valid by its own time: with the clock back, it is valid again, and so is its root.
    let leaf = Seen { last_leaf: Some(at(3600)), ..seen([]) };
    assert_eq!(step(&rotation(Phase::Activated, 2), &leaf, at(600)).outcome, Step::Wait);
}

#[test]
fn a_whole_rotation_is_five_steps_and_two_versions() {
    let mut state = Rotation::default();
    let (mut now, mut phases) = (0, vec![]);
    state = state.after(&asked(&state).outcome, "jo", at(now));
    while state.phase != Phase::Steady {
        phases.push(format!("{} {}", state.phase, state.version));
        let took_over = Some((state.version, state.since));
        let holders = seen([Holder { up: true, holds: took_over, error: None }]);
        let decision = step(&state, &holders, at(now));
        state = state.after(&decision.outcome, "somebody else", at(now));
        now += 5;
        assert!(now < 1000, "stuck in {}", state.phase);
    }
    phases.dedup();
    assert_eq!(phases, ["prepared 1", "published 2", "activated 2", "retiring 3"]);
    assert_eq!((state.version, state.by.as_str()), (3, "jo"));
}
