use super::*;
use serde_json::json;

fn rego(v0: bool, source: &str, libs: &[&str]) -> Rego {
    let version = if v0 { "v0" } else { "v1" };
    serde_json::from_value(
        json!({"source": source, "libs": libs, "version": version, "parameters": {"limit": 2}}),
    )
    .expect("a specification")
}

fn refused(v0: bool, source: &str, libs: &[&str]) -> Refusal {
    Compiled::new(&rego(v0, source, libs)).map(|_| ()).expect_err(source)
}

fn texts(v0: bool, source: &str, libs: &[&str], object: serde_json::Value) -> Vec<String> {
    let compiled =
        Compiled::new(&rego(v0, source, libs)).unwrap_or_else(|fault| panic!("{source}: {fault:?}"));
    let mut machine = Machine::new(&compiled).expect("it compiled before");
    let review = to_rego(&json!({"object": object}));
    let first = machine.judge(&review, 100_000);
    assert_eq!(machine.judge(&review, 100_000), first, "the same request gets the same verdict again");
    first.into_iter().map(|(verdict, reason)| format!("{verdict}: {reason}")).collect()
}

fn v1(body: &str) -> String {
    format!("package p\nviolation contains {{\"msg\": msg}} if {{\n{body}\n}}\n")
}

fn check(body: &str, object: serde_json::Value, expected: &[&str]) {
    assert_eq!(texts(false, &v1(body), &[], object), expected, "{body}");
}

#[test]
fn violations_are_findings_in_both_versions() {
    let v0 = "package p\nviolation[{\"msg\": msg, \"details\": {\"place\": \"spec.a\", \"fix\": \"less\"}}] {\n\
              input.review.object.a > input.parameters.limit\nmsg := sprintf(\"a is %v\", [input.review.object.a]) }";
    assert_eq!(texts(true, v0, &[], json!({"a": 3})), ["deny: spec.a: a is 3; to fix: less"]);
    assert!(texts(true, v0, &[], json!({"a": 2})).is_empty());
    let body = "input.review.object.a > input.parameters.limit\nmsg := \"large\"";
    check(body, json!({"a": 3}), &["deny: large"]);
    check(body, json!({"a": 1}), &[]);
    check(body, json!({}), &[]);
}

#[test]
fn libraries_are_found_and_misspelt_names_in_them_refused() {
    let source = "package p\nimport data.lib.images\nviolation contains {\"msg\": \"tag\"} if not images.tagged(input.review.object.image)";
    let lib = "package lib.images\ntagged(image) if contains(image, \":\")\nknown := {\"a\"}";
    assert_eq!(texts(false, source, &[lib], json!({"image": "a"})), ["deny: tag"]);
    assert!(texts(false, source, &[lib], json!({"image": "a:1"})).is_empty());
    let misspelt = source.replace("not images.tagged(input.review.object.image)", "images.knwon[_] == \"a\"");
    assert!(refused(false, &misspelt, &[lib]).sentence.contains("names no rule"));
    assert!(
        refused(false, source, &["package images\ntagged(i) if i"]).sentence.contains("must be under `lib`")
    );
    assert!(
        refused(false, &source.replace("package p", "package lib.p"), &[lib])
            .sentence
            .contains("for libraries")
    );
}

#[test]
fn what_depends_on_more_than_the_request_is_refused_by_name() {
    for call in [
        "time.now_ns() > 1",
        "rand.intn(\"a\", 2) == 1",
        "uuid.rfc4122(\"a\") == \"b\"",
        "http.send({\"method\": \"get\", \"url\": \"http://x\"}).status_code == 200",
        "opa.runtime().env.A == \"b\"",
        "net.lookup_ip_addr(\"a\")",
        "external_data({\"provider\": \"a\", \"keys\": []})",
    ] {
        let refusal = refused(false, &v1(&format!("{call}\nmsg := \"m\"")), &[]);
        let name = call.split('(').next().unwrap_or_default();
        assert!(refusal.sentence.contains(name), "{call}: {refusal:?}");
        assert_eq!(refusal.at.map(|(line, _)| line), Some(3), "{call}: {refusal:?}");
    }
}

#[test]
fn unknown_functions_and_unsafe_variables_are_refused_even_where_nothing_reaches_them() {
    for (body, what) in [
        ("false\nnosuch(1)\nmsg := \"m\"", "nosuch"),
        ("false\ncrypto.sha256(\"a\") == \"b\"\nmsg := \"m\"", "crypto.sha256"),
        ("input.review.object.a", "msg"),
        ("false\nx > 1\nmsg := \"m\"", "x"),
    ] {
        let refusal = refused(false, &v1(body), &[]);
        assert!(refusal.sentence.contains(what), "{body}: {refusal:?}");
    }
}

#[test]
fn references_that_can_only_be_undefined_are_refused() {
    for (body, what) in [
        ("data.inventory.cluster[_]\nmsg := \"m\"", "data.inventory"),
        ("input.request.object.a\nmsg := \"m\"", "input.request"),
        ("data.nosuch.rule\nmsg := \"m\"", "data.nosuch.rule"),
        ("data.p.nosuch\nmsg := \"m\"", "data.p.nosuch"),
    ] {
        let refusal = refused(false, &v1(body), &[]);
        assert!(refusal.sentence.contains(what), "{body}: {refusal:?}");
    }
    assert!(refused(false, "package p\nallow if true", &[]).sentence.contains("defines no `violation`"));
}

#[test]
fn a_syntax_error_is_named_with_line_and_column() {
    let refusal = refused(false, "package p\n\nviolation contains {\"msg\": } if true", &[]);
    assert_eq!(
        (refusal.part.as_str(), refusal.at.map(|(line, _)| line)),
        ("rego.source", Some(3)),
        "{refusal:?}"
    );
}

#[test]
fn statements_over_two_lines_are_not_joined_to_a_call() {
    check("input.review.object.a\n(1 + 2) >= 3\nmsg := \"two\"", json!({"a": 1}), &["deny: two"]);
    check(
        "x := input.review.object.a # why\n[1, 2][_] == x\nmsg := \"two\"",
        json!({"a": 1}),
        &["deny: two"],
    );
    check("input.review.object.a\n(1 + 2) >= 4\nmsg := \"two\"", json!({"a": 1}), &[]);
}

#[test]
fn chained_bodies_of_a_set_are_refused_rather_than_half_read() {
    refused(true, "package p\nviolation[{\"msg\": m}] { m := \"a\" } { m := \"b\" }", &[]);
}

#[test]
fn a_text_with_too_few_or_too_many_arguments_loses_no_violation() {
    for (format, arguments) in
        [("%v %v", "[1]"), ("%v", "[1, 2]"), ("%d", "[1.5]"), ("%x", "[{}]"), ("%", "[]")]
    {
        let found = texts(false, &v1(&format!("msg := sprintf(\"{format}\", {arguments})")), &[], json!({}));
        assert!(matches!(found.as_slice(), [text] if text.starts_with("deny: ")), "{format}: {found:?}");
    }
    let dynamic = "msg := sprintf(input.review.object.format, [1])";
    assert_eq!(texts(false, &v1(dynamic), &[], json!({"format": "%v %v"})), ["deny: %v %v [1]"]);
    assert_eq!(texts(false, &v1(dynamic), &[], json!({"format": "is %v"})), ["deny: is 1"]);
    let v0 = "package p\nviolation[{\"msg\": msg}] { msg := sprintf(\"%v %v\", [1]) }";
    assert_eq!(texts(true, v0, &[], json!({})), ["deny: %v %v [1]"]);
}

/// As OPA answers, which looks the operands of a call up before it negates it.
#[test]
fn a_negated_call_on_something_undefined_is_undefined() {
    let small = "small(x) if x < 3\n";
    for (condition, object, holds) in [
        ("not small(input.review.object.a)", json!({}), false),
        ("not small(input.review.object.a)", json!({"a": 5}), true),
        ("not small(input.review.object.a)", json!({"a": 1}), false),
        ("not startswith(input.review.object.a, \"x\")", json!({}), false),
        ("not small(count(input.review.object.a))", json!({}), false),
        ("not input.review.object.a in {\"x\"}", json!({}), false),
        ("not input.review.object.a in {\"x\"}", json!({"a": "y"}), true),
        ("not (input.review.object.a > 2)", json!({}), false),
        ("not input.review.object.a == \"x\"", json!({}), true),
        ("not input.review.object.a.b", json!({}), true),
    ] {
        let expected: &[&str] = if holds { &["deny: m"] } else { &[] };
        let braced = format!("package p\n{small}violation contains {{\"msg\": \"m\"}} if {{ {condition} }}");
        assert_eq!(texts(false, &braced, &[], object.clone()), expected, "{braced} {object}");
        let bare = format!("package p\n{small}violation contains {{\"msg\": \"m\"}} if {condition}\n");
        assert_eq!(texts(false, &bare, &[], object.clone()), expected, "{bare} {object}");
    }
}

#[test]
fn a_violation_nobody_can_read_is_unknown() {
    check(
        "msg := 1",
        json!({}),
        &["unknown: an element of `violation` has no text `msg`, so nobody can say what it is about"],
    );
}

#[test]
fn exhausted_fuel_is_unknown() {
    let body = "some i, j in numbers.range(1, 100000)\ni + j < 0\nmsg := \"m\"";
    let found = texts(false, &v1(body), &[], json!({}));
    assert_eq!(found, ["unknown: the policy needs more than 100000 instructions for this object"]);
}

#[test]
fn recursion_is_refused() {
    let through = |rules: &str| format!("package p\n{rules}\nviolation contains {{\"msg\": \"m\"}} if not a");
    for rules in [
        "a if b\nb if a",
        "a if a",
        "a if f(1)\nf(x) if g(x)\ng(x) if f(x)",
        "a if data.p.b\nb if { x := [y | y := a]; x }",
    ] {
        let refusal = refused(false, &through(rules), &[]);
        assert!(refusal.sentence.contains("depends on itself"), "{rules}: {refusal:?}");
    }
}

/// As OPA answers: a variable cannot be bound to nothing.
#[test]
fn a_variable_is_not_bound_to_something_undefined() {
    check("x := input.review.object.a\nmsg := \"m\"", json!({}), &[]);
    check("x := input.review.object.a\nmsg := \"m\"", json!({"a": false}), &["deny: m"]);
    check("count([x | x := input.review.object.a]) == 0\nmsg := \"m\"", json!({}), &["deny: m"]);
    check("x := input.review.object.a; y := x\nnot y == 1\nmsg := \"m\"", json!({}), &[]);
    let negated =
        "package p\nok if x := input.review.object.a\nviolation contains {\"msg\": \"m\"} if not ok\n";
    assert_eq!(texts(false, negated, &[], json!({})), ["deny: m"]);
    assert!(texts(false, negated, &[], json!({"a": 1})).is_empty());
}
