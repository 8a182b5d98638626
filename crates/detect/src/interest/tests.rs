use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Matching, Options, Partition, Source, any, pack, step};

fn compiled(sources: &[Source]) -> RuleSet {
    let options = Options { matching: Matching::All, ..Options::default() };
    RuleSet::compile(sources, &options).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Cases of one rule, one per line.
fn told(condition: &str) -> String {
    let interest = compiled(&[any::file(&[condition.to_owned()])]).interest();
    let line = |case: &Case| {
        let events = case.events().collect::<Vec<_>>().join(",");
        let (place, outcome) = (case.place, case.outcome);
        let paths: Vec<_> = case.paths.iter().flatten().map(|test| format!("{test:?}")).collect();
        format!("{events} {place:?} r={:?} w={:?} {outcome:?} {}\n", case.read, case.write, paths.join(" "))
    };
    interest.cases().iter().map(line).collect()
}

#[test]
fn what_the_kernel_can_tell_is_kept() {
    let condition = "evt.type in (open, openat) and evt.is_open_read = true and fd.num >= 0 \
                     and container.id != host and fd.name in (/etc/shadow, /etc/sudoers) and proc.name = cat";
    let expected = "open,openat Container r=Some(true) w=None Success \
                    Is(\"/etc/shadow\") Is(\"/etc/sudoers\")\n";
    assert_eq!(told(condition), expected);
}

#[test]
fn what_is_not_understood_is_left_open() {
    assert_eq!(told("evt.type = openat and proc.name = cat"), "openat Any r=None w=None Any \n");
    assert_eq!(told("evt.type = openat and not fd.name = /x"), "openat Any r=None w=None Any \n");
    assert_eq!(told("evt.type = openat and evt.num = 0"), "");
}

#[test]
fn our_own_rules_leave_most_opens_in_the_kernel() {
    let interest = compiled(&[pack()]).interest();
    let opens: Vec<_> = interest.about("openat").collect();
    assert!(!opens.is_empty());
    assert!(opens.iter().all(|case| case.paths.is_some() && case.outcome == Outcome::Success), "{opens:?}");
    let tests: Vec<_> = opens.iter().flat_map(|case| case.paths.iter().flatten()).collect();
    assert!(
        !tests.iter().any(|test| matches!(test, PathTest::Contains(_))),
        "cheap in the kernel: {tests:?}"
    );
    assert!(interest.about("clone").next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_matches_is_never_left_in_the_kernel(
        conditions in vec(any::condition(), 1..4),
        events in vec(any::event(), 1..20),
    ) {
        let rules = compiled(&[any::file(&conditions)]);
        let interest = rules.interest();
        let mut state = Partition::default();
        for event in &events {
            let matched = !step(&rules, &mut state, event).is_empty();
            prop_assert!(!matched || interest.admits(event), "{:?} {:?}", conditions, event);
        }
    }

    #[test]
    fn nor_what_our_own_rules_match(conditions in vec(any::condition(), 0..2), events in vec(any::event(), 1..20)) {
        let rules = compiled(&[pack(), any::file(&conditions)]);
        let interest = rules.interest();
        let mut state = Partition::default();
        for event in &events {
            let matched = !step(&rules, &mut state, event).is_empty();
            prop_assert!(!matched || interest.admits(event), "{:?} {:?}", conditions, event);
        }
    }
}
