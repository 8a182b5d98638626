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
