//! Lists, macros and rules that later items change; exceptions; selections.

use outis_detect::{Matching, Options, RuleSet, RuleState, Selection, Target};

use crate::world::{World, titles};
use crate::{compiled, rule, sources};

/// Whether the rule `it` of these files speaks of a program.
fn speaks(texts: &[&str], program: &str) -> bool {
    let mut world = World::new(&sources(texts));
    world.run(program).in_pod().rules().contains(&"it".to_owned())
}

const SHELLS: &str = "- list: shells\n  items: [sh, bash]\n";

#[test]
fn lists_hold_lists_and_are_appended_to_and_replaced() {
    let uses = rule("proc.name in (shells, dash)");
    let nested =
        format!("{SHELLS}- list: programs\n  items: [shells, 'vi']\n{}", rule("proc.name in (programs)"));
    assert!(speaks(&[&nested], "bash") && speaks(&[&nested], "vi") && !speaks(&[&nested], "dash"));
    let appended = "- list: shells\n  items: [zsh]\n  override: {items: append}\n";
    assert!(speaks(&[SHELLS, &uses, appended], "zsh") && speaks(&[SHELLS, &uses, appended], "sh"));
    let old = "- list: shells\n  items: [zsh]\n  append: true\n";
    assert!(speaks(&[SHELLS, &uses, old], "zsh") && speaks(&[SHELLS, &uses, old], "sh"));
    let replaced = "- list: shells\n  items: [zsh]\n";
    assert!(speaks(&[SHELLS, &uses, replaced], "zsh") && !speaks(&[SHELLS, &uses, replaced], "sh"));
    assert!(speaks(&[&uses, SHELLS], "sh"), "a rule sees lists written later");
    let quoted = format!("{SHELLS}{}", rule("proc.name in (\"shells\")"));
    assert!(!speaks(&[&quoted], "sh"), "what is quoted is no list");
}

#[test]
fn macros_are_appended_to_and_replaced() {
    let base = "- macro: m\n  condition: (proc.name = a)\n";
    let uses = rule("m");
    let appended = "- macro: m\n  condition: or proc.name = b\n  override: {condition: append}\n";
    for program in ["a", "b"] {
        assert!(speaks(&[base, &uses, appended], program));
    }
    let replaced = "- macro: m\n  condition: (proc.name = c)\n";
    assert!(speaks(&[base, &uses, replaced], "c") && !speaks(&[base, &uses, replaced], "a"));
    let nested = "- macro: n\n  condition: (m and evt.type = execve)\n";
    assert!(speaks(&[base, nested, &rule("n")], "a"));
}

#[test]
fn rules_are_changed_part_by_part() {
    let base = rule("proc.name = a");
    let appended = "- rule: it\n  condition: or proc.name = b\n  tags: [t]\n  output: more\n  desc: too\n  \
                    override: {condition: append, tags: append, output: append, desc: append}\n";
    assert!(speaks(&[&base, appended], "a") && speaks(&[&base, appended], "b"));
    let set = compiled(&[&base, appended]);
    assert_eq!((&set.infos()[0].tags[..], &*set.infos()[0].description), (&["t".to_owned()][..], "d too"));
    let replaced = "- rule: it\n  condition: proc.name = c\n  priority: ALERT\n  \
                    override: {condition: replace, priority: replace}\n";
    assert!(speaks(&[&base, replaced], "c") && !speaks(&[&base, replaced], "a"));
    assert_eq!(compiled(&[&base, replaced]).infos()[0].priority.to_string(), "Alert");
    let again = rule("proc.name = z");
    assert!(speaks(&[&base, &again], "z") && !speaks(&[&base, &again], "a"), "a whole rule replaces");
    for off in
        ["- rule: it\n  enabled: false\n", "- rule: it\n  enabled: false\n  override: {enabled: replace}\n"]
    {
        assert_eq!(compiled(&[&base, off]).infos()[0].state, RuleState::Disabled, "{off}");
        assert!(!speaks(&[&base, off], "a"));
    }
}

const EXCEPTED: &str =
    "- rule: it\n  desc: d\n  output: o\n  priority: INFO\n  condition: proc.name exists\n";

#[test]
fn exceptions_take_away() {
    let rows = format!(
        "{EXCEPTED}  exceptions:\n  - {{name: e, fields: [proc.name, user.uid], comps: [=, in], values: [[a, [0, 5]]]}}\n"
    );
    assert!(!speaks(&[&rows], "a") && speaks(&[&rows], "b"));
    let plain = format!("{EXCEPTED}  exceptions:\n  - {{name: e, fields: proc.name, values: [a, b]}}\n");
    assert!(!speaks(&[&plain], "a") && !speaks(&[&plain], "b") && speaks(&[&plain], "c"));
    let one =
        format!("{EXCEPTED}  exceptions:\n  - {{name: e, fields: proc.name, comps: ==, values: [a]}}\n");
    assert!(!speaks(&[&one], "a") && speaks(&[&one], "b"));
    let starts = format!(
        "{EXCEPTED}  exceptions:\n  - {{name: e, fields: [proc.exepath], comps: [startswith], values: [[/usr]]}}\n"
    );
    assert!(!speaks(&[&starts], "a") && speaks(&[&starts], "/opt/a"));
    let empty = format!("{EXCEPTED}  exceptions:\n  - {{name: e, fields: [proc.name]}}\n");
    assert!(speaks(&[&empty], "a"));
    let later = "- rule: it\n  exceptions:\n  - {name: e, values: [[a]]}\n  override: {exceptions: append}\n";
    assert!(!speaks(&[&empty, later], "a") && speaks(&[&empty, later], "b"));
    let new = "- rule: it\n  exceptions:\n  - {name: f, fields: [proc.name], values: [[b]]}\n  \
               override: {exceptions: append}\n";
    assert!(!speaks(&[&empty, later, new], "a") && !speaks(&[&empty, later, new], "b"));
}

const THREE: &str = "
- {rule: one shell, desc: d, output: o, priority: DEBUG, tags: [x], condition: proc.name = sh}
- {rule: two shell, desc: d, output: o, priority: NOTICE, tags: [x, y], condition: proc.name = sh}
- {rule: three, desc: d, output: o, priority: ALERT, enabled: false, condition: proc.name = sh}
";

fn selected(options: &Options) -> Vec<String> {
    let rules = RuleSet::compile(&sources(&[THREE]), options).unwrap_or_else(|faults| panic!("{faults}"));
    let mut world = World::new(&[]);
    world.rules = rules;
    titles(&world.run("sh").go().said)
}

#[test]
fn rules_are_selected_by_name_tag_and_priority() {
    let all = || Options { matching: Matching::All, ..Options::default() };
    assert_eq!(selected(&all()), ["one shell", "two shell"]);
    assert_eq!(selected(&Options::default()), ["one shell"], "the first speaks for all");
    let switch = |enable, target| Selection { enable, target };
    let none = switch(false, Target::Rule("*".into()));
    let tagged = switch(true, Target::Tag("y".into()));
    assert_eq!(selected(&Options { selection: vec![none.clone(), tagged], ..all() }), ["two shell"]);
    let named = switch(true, Target::Rule("th*e".into()));
    assert_eq!(selected(&Options { selection: vec![none, named], ..all() }), ["three"]);
    let least = outis_model::alert::Priority::Notice;
    assert_eq!(selected(&Options { least: Some(least), ..all() }), ["two shell"]);
}

#[test]
fn versions_and_plugins_that_are_there_are_accepted() {
    let head = "- required_engine_version: 0.57.0\n- required_plugin_versions:\n  \
                - {name: container, version: 0.4.0}\n  \
                - {name: k8saudit, version: 0.7.0, alternatives: [{name: container, version: 0.1.0}]}\n";
    assert!(compiled(&[head]).notes().is_empty());
    let other = "- required_plugin_versions:\n  - {name: cloudtrail, version: 0.1.0}\n";
    let note = compiled(&[other]).notes()[0].to_string();
    assert!(note.starts_with("1.yaml:2:12: there is no plugin `cloudtrail` here"), "{note}");
}
