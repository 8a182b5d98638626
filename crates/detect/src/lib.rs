#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(test)]
mod any;
mod compile;
mod fault;
mod field;
mod hide;
mod interest;
mod language;
mod load;
mod names;
mod output;
mod partition;
mod replay;
mod report;
mod rules;
mod step;
mod types;
mod yaml;

pub use fault::{Fault, RuleFaults, Source};
pub use field::fields;
pub use hide::redacted;
pub use interest::{Case, Interest, Outcome, PathTest, Whence};
pub use names::{Accounts, Knowledge};
pub use output::falco_json;
pub use partition::{Counters, Limits, Partition};
pub use replay::{Replay, ReplayFault, replay};
pub use report::{Report, lint, rules};
pub use rules::{Matching, Missing, Options, RuleInfo, RuleSet, RuleState, Selection, Target};
pub use step::step;

/// The rules we write ourselves, as a source named `outis_rules.yaml`.
#[must_use]
pub fn pack() -> Source {
    Source::new("outis_rules.yaml", include_str!("../rules/outis_rules.yaml"))
}
