use proptest::prelude::*;

use super::{Cond, Resolver, Type};
use crate::field::value::View;
use crate::{Partition, any, fault::Findings, load, types};

/// A condition before it is specialised to a type.
fn compiled(condition: &str) -> Cond {
    let sources = [any::file(&[condition.to_owned()])];
    let mut findings = Findings::new(&sources);
    let catalogue = load::load(&sources, &mut findings);
    let cond = {
        let mut resolver = Resolver::new(&sources, &catalogue, false, &mut findings);
        let rule = &catalogue.rules.items[0];
        resolver.rule(&rule.condition, &rule.exceptions, &mut findings)
    };
    findings.close().unwrap_or_else(|faults| panic!("{condition}: {faults}"));
    cond.unwrap_or_else(|| panic!("{condition}"))
}

/// What a condition means, word by word: no order, no shortcut, nothing known before.
fn meaning(cond: &Cond, number: usize, view: &View<'_>) -> bool {
    match cond {
        Cond::True => true,
        Cond::False | Cond::Lacking(_) => false,
        Cond::Types(known, _) => known.has(number),
        Cond::Test(test) => test.holds(view),
        Cond::Not(inner) => !meaning(inner, number, view),
        Cond::And(all) => all.iter().all(|one| meaning(one, number, view)),
        Cond::Or(all) => all.iter().any(|one| meaning(one, number, view)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Also says that no field has a value for an event its table line leaves out.
    #[test]
    fn a_condition_made_for_one_type_means_the_same(condition in any::condition(), event in any::event()) {
        let cond = compiled(&condition);
        let Some(number) = types::of(&event) else { return Ok(()) };
        let mut partition = Partition::default();
        partition.learn(&event);
        let view = View::new(&partition, &event, false);
        let made = cond.of_type(Type::Known(number)).holds(&view);
        prop_assert_eq!(made, meaning(&cond, number, &view), "{}", condition);
    }
}

/// Rules are bounded by these: a part that does not count could be multiplied for ever.
#[test]
fn size_and_depth_count_every_part_and_level() {
    let test = "proc.name = a";
    for (condition, size, depth) in [
        (test.to_owned(), 1, 1),
        (format!("not {test}"), 2, 2),
        (format!("not (not {test})"), 3, 3),
        (format!("{test} and {test}"), 3, 2),
        (format!("{test} or {test} or {test}"), 4, 2),
        (format!("{test} and (not {test} or {test})"), 6, 4),
    ] {
        let cond = compiled(&condition);
        assert_eq!((cond.size(), cond.depth()), (size, depth), "{condition}: {cond:?}");
    }
}

#[test]
fn cheap_tests_come_first_whatever_was_written_first() {
    // A list of names is cheaper than a search, and a search alone than one of two with a flag.
    let dear = "proc.cmdline contains secret";
    for (condition, first) in [
        (format!("{dear} and user.uid = 0"), "user.uid = 0"),
        (format!("({dear} or {dear}) and {dear}"), dear),
        (format!("(not {dear}) and user.uid = 0"), "user.uid = 0"),
        // Put together for each event.
        ("evt.args exists and proc.name exists".into(), "proc.name exists"),
    ] {
        let Cond::And(parts) = compiled(&condition).of_type(Type::Other) else {
            panic!("{condition} is one of several parts")
        };
        assert_eq!(format!("{:?}", parts[0]), format!("{:?}", compiled(first)), "{condition}");
    }
}

#[test]
fn what_a_type_cannot_have_is_false_before_any_event_is_seen() {
    let number = types::number("connect").expect("known");
    let cond = compiled("fd.filename = x or proc.name = a");
    assert!(matches!(cond.of_type(Type::Known(number)), Cond::Test(_)), "{cond:?}");
}

#[test]
fn what_is_missing_or_foreign_is_found_below_a_negation_too() {
    let cond = compiled("not (evt.type = ptrace) and not (ka.verb = get)");
    let (mut foreign, mut lacking) = Default::default();
    cond.foreign_types(&mut foreign);
    cond.lacking(&mut lacking);
    assert_eq!(foreign.into_iter().collect::<Vec<_>>(), ["ptrace"]);
    assert_eq!(lacking.len(), 1, "{lacking:?}");
}
