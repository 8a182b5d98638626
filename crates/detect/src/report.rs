//! What people ask of rules without running them: are they right, and which of them work.

use std::fmt;

use serde::Serialize;

use crate::fault::{Fault, Source};
use crate::rules::{Options, RuleInfo, RuleSet, RuleState};

/// The result of `lint`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// What keeps the files from being used.
    pub faults: Vec<Fault>,
    /// What is odd and keeps nothing from working.
    pub notes: Vec<Fault>,
    /// Every rule with its state; empty when there are faults.
    pub rules: Vec<RuleInfo>,
}

impl Report {
    /// Whether the files can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.faults.is_empty()
    }

    /// How many rules are active, disabled, not active.
    #[must_use]
    pub fn count(&self) -> (usize, usize, usize) {
        let count =
            |wanted: fn(&RuleState) -> bool| self.rules.iter().filter(|rule| wanted(&rule.state)).count();
        (
            count(|state| *state == RuleState::Active),
            count(|state| *state == RuleState::Disabled),
            count(|state| matches!(state, RuleState::NotActive { .. })),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|fault| writeln!(f, "fault {fault}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note  {note}"))?;
        for rule in self.rules.iter().filter(|rule| rule.state != RuleState::Active) {
            writeln!(f, "rule  {}:{}: {}: {}", rule.file, rule.line, rule.name, rule.state)?;
        }
        let (active, disabled, not_active) = self.count();
        write!(
            f,
            "{} faults, {} notes; {active} rules active, {disabled} disabled, {not_active} not active",
            self.faults.len(),
            self.notes.len()
        )
    }
}

/// Reads sources as they would be loaded and tells everything about them.
#[must_use]
pub fn lint(sources: &[Source], options: &Options) -> Report {
    match RuleSet::compile(sources, options) {
        Ok(set) => Report { faults: vec![], notes: set.notes().to_vec(), rules: rules(&set) },
        Err(faults) => Report { faults: faults.0, ..Report::default() },
    }
}

/// Every rule of a set, in order, with its state.
#[must_use]
pub fn rules(set: &RuleSet) -> Vec<RuleInfo> {
    set.infos().to_vec()
}
