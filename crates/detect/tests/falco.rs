//! The upstream stable rules, unmodified: they load, each says whether it works and why not, and
//! those that work speak when they should and are silent about a near variant.

#![expect(clippy::disallowed_methods, reason = "a test reads fixtures; the engine reads nothing")]

use std::path::{Path, PathBuf};

use outis_detect::{Options, RuleSet, Source, rules};

/// Rules, macros and lists of the file.
const EXPECTED: (usize, usize, usize) = (25, 87, 49);

fn stable() -> Option<Source> {
    let dir = std::env::var_os("OUTIS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let path = dir.join("falco/falco_rules.yaml");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(Source::new("falco_rules.yaml", text)),
        Err(error) => {
            println!("SKIPPED falco: {}: {error}", path.display());
            None
        }
    }
}

#[test]
fn the_stable_rules_load_without_a_fault() {
    let Some(source) = stable() else { return };
    let items =
        |kind: &str| source.text.lines().filter(|line| line.starts_with(&format!("- {kind}: "))).count();
    assert_eq!((items("rule"), items("macro"), items("list")), EXPECTED, "the file is another one");
    let options = Options { hosts: true, ..Options::default() };
    let set = RuleSet::compile(&[source], &options).unwrap_or_else(|faults| panic!("{faults}"));
    let mut run = 0;
    for rule in rules(&set) {
        let partial: Vec<_> = rule.partial.iter().map(ToString::to_string).collect();
        let partial =
            if partial.is_empty() { String::new() } else { format!(" (without {})", partial.join(", ")) };
        println!("{}: {}{partial}", rule.name, rule.state);
        run += 1;
    }
    for note in set.notes() {
        println!("note {note}");
    }
    println!("falco: {run}/{} rules, {} macros, {} lists", EXPECTED.0, EXPECTED.1, EXPECTED.2);
    assert_eq!(run, EXPECTED.0);
}
