//! What is wrong is told at its place, all of it at once; what is missing is named.

use crate::{compile, compiled, rule};

fn told(texts: &[&str]) -> String {
    compile(texts).expect_err("faults").to_string()
}

#[test]
fn all_faults_of_all_files_are_told_together() {
    let first = "\
- rule: one
  desc: d
  output: o
  priority: LOUD
  condition: proc.name = a
- macro: broken
  condition: >
    proc.name = a
    and proc.name like b
- list: itself
  items: [itself]
- rule: two
  desc: d
  output: o
  priority: INFO
  condition: there_is_none and proc.aname[x] = y
  condition: proc.name = b
";
    let second = "\
- rule: three
  desc: d
  output: o
  priority: INFO
  condition: proc.pid = many or fd.ip = nowhere
- macro: m
  condition: m
- required_engine_version: 9.0.0
- nothing: here
";
    let expected = "\
1.yaml:1:9: rule `one` has no usable `priority`
1.yaml:4:13: priority \"LOUD\" is none of emergency, alert, critical, error, warning, notice, informational, debug
1.yaml:9:19: an operator should stand behind `proc.name`, not \"like\"; there are exists = != < <= > >= contains \
icontains bcontains startswith bstartswith endswith glob iglob regex in intersects pmatch
1.yaml:16:14: there is no macro `there_is_none`
1.yaml:16:32: `proc.aname` takes a number of generations up to 64, not [x]
1.yaml:17:3: the key `condition` stands twice in one item; keep one
2.yaml:5:14: `proc.pid` is a number, and \"many\" is none
2.yaml:5:33: `fd.ip` is an address, and \"nowhere\" is neither an address nor a network such as 10.0.0.0/8
2.yaml:7:14: macro `m` is written later; a macro sees only earlier ones
2.yaml:8:28: the file asks for engine version 9.0.0, and this engine reads files up to 0.62
2.yaml:9:3: an item begins with `rule`, `macro`, `list` or `required_engine_version`, not with `nothing`";
    assert_eq!(told(&[first, second]), expected);
}

#[test]
fn each_fault_says_what_would_be_right() {
    let except = |exception: &str| format!("{}  exceptions: [{exception}]\n", BASE);
    let table = [
        ("a: b", "1.yaml:1:1: a file of rules is a list of items"),
        ("- [x", "1.yaml:1:"),
        ("- rule: it\n", "1.yaml:1:9: rule `it` has no usable `condition`, `output`, `desc`, `priority`"),
        ("- macro: m\n", "1.yaml:1:3: a macro needs a `condition`"),
        ("- list: l\n  items: x\n", "1.yaml:2:10: `items` should be a list, not a text"),
        ("- {rule: r, condition: x, override: {condition: append}}", "no rule `r` was read before this item"),
        ("- {list: l, items: [x], override: {items: add}}", "`items` is overridden by `append` or `replace`"),
        (
            "- {list: l, items: [x], override: {name: append}}",
            "`name` cannot be overridden like this; items can",
        ),
        ("- {macro: m, condition: proc.name = }", "a value should stand behind `=`"),
        ("- {macro: m, condition: proc.name < 5}", "`<` does not fit `proc.name`, which is a text"),
        (
            "- {macro: m, condition: proc.pid contains 5}",
            "`contains` does not fit `proc.pid`, which is a number",
        ),
        ("- {macro: m, condition: container.privileged = maybe}", "is true or false, not \"maybe\""),
        ("- {macro: m, condition: 'proc.name regex \"(\"'}", "the pattern cannot be used"),
        ("- {macro: m, condition: proc.name bcontains 7g}", "takes bytes in hexadecimal"),
        (
            &except("{name: e, fields: [proc.name, user.uid], values: [[a]]}"),
            "a row has 1 values for 2 fields",
        ),
        (&except("{name: e, fields: [proc.name], comps: [=, =]}"), "has 1 fields and 2 comps"),
        (
            &except("{name: e, fields: [proc.name], comps: [like], values: [[a]]}"),
            "\"like\" is no comparison",
        ),
        (
            &except("{name: e, fields: [proc.name], comps: [exists], values: [[a]]}"),
            "\"exists\" is no comparison",
        ),
        (
            &except("{name: e, fields: [proc.name], comps: [=], values: [[[a, b]]]}"),
            "`=` takes one value, not a list",
        ),
        (
            &except("{name: e, fields: [proc.name], comps: [=], values: [[[a]]]}"),
            "`=` takes one value, not a list",
        ),
        (
            &except("{name: e, fields: proc.name, comps: =, values: [a, b]}"),
            "`=` takes one value, not a list",
        ),
        (&except("{name: e, values: [[a]]}"), "exception `e` needs `fields`"),
    ];
    for (text, expected) in table {
        let told = told(&[text]);
        assert!(told.contains(expected), "{text}\n{told}\n{expected}");
    }
}

const BASE: &str = "- rule: it\n  desc: d\n  output: o\n  priority: INFO\n  condition: proc.name = a\n";

fn state(text: &str) -> String {
    compiled(&[text]).infos()[0].state.to_string()
}

#[test]
fn what_is_missing_is_named_and_never_passes_for_working() {
    for (condition, expected) in [
        ("proc.name = a", "active"),
        ("proc.env contains LD_PRELOAD", "not active: no field proc.env"),
        (
            "evt.type = ptrace and evt.arg.request = x",
            "not active: no field evt.arg.request, no event type ptrace",
        ),
        ("evt.type in (dup, dup2)", "not active: no event type dup, no event type dup2"),
        ("evt.type = openat and proc.env exists", "not active: no field proc.env"),
        ("not evt.type in (bpf) and proc.sname exists", "not active: no field proc.sname"),
        ("fd.sip.name = example.org", "not active: no field fd.sip.name"),
        ("evt.num = 0", "not active: no event type that could satisfy its condition"),
    ] {
        let state = state(&rule(condition));
        assert!(state.starts_with(expected), "{condition}: {state}");
    }
    let audit = rule("ka.verb = create").replace("priority", "source: k8s_audit, priority");
    assert_eq!(state(&audit), "not active: no event source k8s_audit");
    let partial = compiled(&[&rule("evt.type in (openat, bpf) and fd.name = /x")]);
    let info = &partial.infos()[0];
    assert_eq!(
        (info.state.to_string(), info.partial[0].to_string()),
        ("active".into(), "event type bpf".into())
    );
    assert_eq!(info.events, ["openat"]);
}

#[test]
fn odd_things_are_noted_and_work() {
    let quiet = rule("proc.pid = 1").replace("priority", "warn_evttypes: false, priority");
    assert!(
        compiled(&[&quiet, &rule("evt.type = open").replace("rule: it", "rule: other")]).notes().is_empty()
    );
    let text = "- list: unused\n  items: []\n- macro: idle\n  condition: proc.name = a\n\
                - {rule: it, desc: d, output: '%proc.nmae', priority: INFO, condition: proc.pid = 1, colour: red}\n";
    let notes: Vec<_> = compiled(&[text]).notes().iter().map(ToString::to_string).collect();
    for expected in [
        "1.yaml:1:9: list `unused` is used by nothing",
        "1.yaml:3:10: macro `idle` is used by nothing",
        "there is no field proc.nmae, so the output shows <NA> for %proc.nmae; did you mean proc.name?",
        "the key `colour` means nothing here",
        "rule `it` is judged for events of every type, which costs",
    ] {
        assert!(notes.iter().any(|note| note.contains(expected)), "{expected}\n{notes:#?}");
    }
}
