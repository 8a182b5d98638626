//! What lints cannot see.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::places::{conformance, root};
use crate::tool::Tool;

/// Lines a file may have, generated ones apart.
const LINES: usize = 500;

/// Names shorter than this are words of the field, not names of a fixture.
const TELLING: usize = 16;

/// Looks at every tracked file.
pub(crate) fn run() -> Result<()> {
    let tracked = Tool::new("git").args(["ls-files"]).at(&root()).output()?;
    let foreign = foreign_names();
    let mut faults = Vec::new();
    for name in tracked.lines() {
        let path = root().join(name);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        faults.extend(places_of_one_machine(name, &text));
        if name.ends_with(".rs") && !name.contains("/gen/") {
            faults.extend(too_long(name, &text));
            faults.extend(sleeping(name, &text));
            faults.extend(naming(name, &text, &foreign));
        }
        if name.ends_with("Cargo.toml") && name != "Cargo.toml" && !name.starts_with("ebpf/probes") {
            faults.extend(incomplete(name, &path, &text));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => bail!("{} faults:\n  {}", faults.len(), faults.join("\n  ")),
    }
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES).then(|| format!("{name}: {lines} lines; does it hold two nouns?"))
}

/// Tests wait for something, with a deadline, by the one helper `eventually`; they do not sleep.
fn sleeping(name: &str, text: &str) -> Vec<String> {
    // The sample shop is a program of its own.
    let story = name.starts_with("e2e/src/") && !name.starts_with("e2e/src/bin/");
    let test_file = story || name.contains("/tests/") || name.ends_with("tests.rs");
    let at = if test_file { Some(0) } else { text.find("#[cfg(test)]") };
    let Some(at) = at else { return vec![] };
    let mut faults = Vec::new();
    let mut helper = false;
    for line in text[at..].lines() {
        helper = (helper || line.contains("fn eventually")) && line != "}" && line != "    }";
        let sleeps = line.contains(concat!("sle", "ep(")) && !line.trim_start().starts_with("//");
        if sleeps && !helper {
            faults.push(format!("{name}: a test waits by the clock: {}", line.trim()));
        }
    }
    faults
}

/// Product code that names a fixture, a suite or an upstream rule is made for the test.
fn naming(name: &str, text: &str, foreign: &[String]) -> Vec<String> {
    let product = (name.starts_with("crates/") && name.contains("/src/")) || name.starts_with("ebpf/");
    let tests = name.contains("/tests") || name.ends_with("tests.rs");
    if !product || tests {
        return vec![];
    }
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    foreign
        .iter()
        .filter(|found| code.contains(*found))
        .map(|found| format!("{name}: names {found:?}"))
        .collect()
}

fn foreign_names() -> Vec<String> {
    let dir = conformance();
    let mut names = Vec::new();
    for suite in fs::read_dir(dir.join("gatekeeper")).into_iter().flatten().flatten() {
        names.push(suite.file_name().to_string_lossy().into_owned());
    }
    let rules = fs::read_to_string(dir.join("falco/falco_rules.yaml")).unwrap_or_default();
    names.extend(
        rules.lines().filter_map(|line| line.strip_prefix("- rule: ")).map(|title| title.trim().to_owned()),
    );
    names.retain(|name| name.len() >= TELLING);
    names
}

fn incomplete(name: &str, path: &Path, text: &str) -> Vec<String> {
    let dir = path.parent().expect("a folder");
    let mut faults = Vec::new();
    if !text.contains("[lints]\nworkspace = true") {
        faults.push(format!("{name}: no `[lints] workspace = true`"));
    }
    if !dir.join("README.md").exists() {
        faults.push(format!("{name}: no README.md beside it"));
    }
    let head = [dir.join("src/lib.rs"), dir.join("src/main.rs")]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok());
    let may = name.starts_with("crates/node/") || name.starts_with("ebpf/");
    if !may && head.is_some_and(|text| !text.contains("#![forbid(unsafe_code)]")) {
        faults.push(format!("{name}: its root does not forbid unsafe code"));
    }
    faults
}

/// Paths of one machine do not belong in the project.
fn places_of_one_machine(name: &str, text: &str) -> Vec<String> {
    let marks = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let found = marks.iter().filter(|mark| text.contains(**mark));
    found.map(|mark| format!("{name}: holds the path {mark}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_test_is_found_and_the_helper_is_not() {
        let nap = concat!("sle", "ep(x)");
        assert_eq!(sleeping("crates/a/tests/b.rs", &format!("fn t() {{\n    {nap};\n}}")).len(), 1);
        assert_eq!(sleeping("crates/a/src/b.rs", &format!("fn product() {{ {nap}; }}")).len(), 0);
        let helper = format!("fn eventually(deadline: X) {{\n    loop {{ {nap}; }}\n}}\n");
        assert_eq!(sleeping("crates/a/tests/b.rs", &helper).len(), 0);
    }

    #[test]
    fn product_code_that_names_a_fixture_is_found_and_its_tests_may() {
        let foreign = ["A telling upstream title".to_owned()];
        let text = "fn f() { \"A telling upstream title\" }";
        assert_eq!(naming("crates/a/src/b.rs", text, &foreign).len(), 1);
        assert_eq!(naming("crates/a/src/tests.rs", text, &foreign).len(), 0);
        assert_eq!(naming("crates/a/src/b.rs", &format!("#[cfg(test)]\n{text}"), &foreign).len(), 0);
    }
}
