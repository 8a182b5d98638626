//! One event, judged.

use outis_model::alert::Match;
use outis_model::event::Event;

use crate::field::value::View;
use crate::output;
use crate::partition::Partition;
use crate::rules::{Matching, RuleSet};
use crate::types;

/// Takes an event in and returns what the rules say of it, in the rules' order. Pure: the same
/// events in the same order give the same matches. An event that no rule matches costs no
/// allocation but what its comparisons need.
pub fn step(rules: &RuleSet, state: &mut Partition, event: &Event) -> Vec<Match> {
    state.learn(event);
    let mut matches = Vec::new();
    let Some(kind) = types::of(event) else { return matches };
    let candidates = &rules.index[kind];
    if candidates.is_empty() {
        return matches;
    }
    let view = View::new(state, event, false);
    for (place, cond) in candidates {
        if !cond.holds(&view) {
            continue;
        }
        let shown = View::new(state, event, true);
        matches.push(output::found(&rules.rules[*place], &shown));
        if rules.matching == Matching::First {
            break;
        }
    }
    state.matched(matches.len());
    matches
}
