//! The engine as its users meet it: rules in, events in, matches out.

mod conditions;
mod faults;
mod judging;
mod merging;
mod output;
mod reports;
mod robust;
#[path = "../world/mod.rs"]
mod world;

use outis_detect::{Options, RuleFaults, RuleSet, Source};

/// A file with one rule of this condition.
fn rule(condition: &str) -> String {
    let quoted = condition.replace('\'', "''");
    format!("- {{rule: it, desc: d, output: o, priority: INFO, condition: '{quoted}'}}\n")
}

fn sources(texts: &[&str]) -> Vec<Source> {
    let named = |(index, text): (usize, &&str)| Source::new(format!("{}.yaml", index + 1), *text);
    texts.iter().enumerate().map(named).collect()
}

fn compile(texts: &[&str]) -> Result<RuleSet, RuleFaults> {
    RuleSet::compile(&sources(texts), &Options::default())
}

fn compiled(texts: &[&str]) -> RuleSet {
    compile(texts).unwrap_or_else(|faults| panic!("{faults}"))
}
