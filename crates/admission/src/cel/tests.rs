use std::collections::BTreeSet;

use outis_model::review::Review;
use serde_json::json;

use super::*;

fn review(object: serde_json::Value) -> Review {
    let mut object = object;
    object["apiVersion"] = json!("v1");
    object["kind"] = json!("Pod");
    crate::scan::offline_review(&object).expect("an object")
}

fn spec(variables: serde_json::Value, validations: serde_json::Value) -> Cel {
    serde_json::from_value(
        json!({"variables": variables, "validations": validations, "params": {"limit": 3}}),
    )
    .expect("a specification")
}

fn said(cel: &Cel, review: &Review) -> Vec<String> {
    let compiled = Compiled::new(cel).unwrap_or_else(|fault| panic!("{cel:?}: {fault:?}"));
    let speech = compiled.judge(&Request::new(review), 100_000);
    speech.into_iter().map(|(verdict, reason)| format!("{verdict}: {reason}")).collect()
}

/// What a policy of one expression with the message `no` says about an object.
fn check(expression: &str, object: serde_json::Value, expected: &[&str]) {
    let cel = spec(json!([]), json!([{"expression": expression, "message": "no"}]));
    assert_eq!(said(&cel, &review(object)), expected, "{expression}");
}

fn refused(expression: &str) -> Refusal {
    let cel = spec(json!([]), json!([{"expression": expression}]));
    Compiled::new(&cel).map(|_| ()).expect_err(expression)
}

#[test]
fn whole_numbers_are_int() {
    check("type(object.a) == int && object.a + 1 == 3", json!({"a": 2}), &[]);
    check("object.a < params.limit", json!({"a": 4}), &["deny: no"]);
    check("type(object.a) == double", json!({"a": 2.5}), &[]);
}

#[test]
fn an_expression_without_an_answer_is_unknown() {
    let found = |expression: &str, object| {
        let cel = spec(json!([]), json!([{"expression": expression}]));
        said(&cel, &review(object))
    };
    for (expression, what) in [
        ("object.a.b == 1", "No such key: a"),
        ("object.metadata", "neither true nor false"),
        ("object.n + 'a' == 'b'", "cel.validations[0]"),
        ("1 / object.n == 1", "cel.validations[0]"),
    ] {
        let said = found(expression, json!({"metadata": {}, "n": 0}));
        assert!(
            matches!(said.as_slice(), [text] if text.starts_with("unknown: ") && text.contains(what)),
            "{said:?}"
        );
    }
}

#[test]
fn variables_are_evaluated_when_used_and_fail_only_there() {
    let variables = json!([
        {"name": "a", "expression": "object.spec.a"},
        {"name": "b", "expression": "variables.a + 1"},
    ]);
    let cel =
        spec(variables, json!([{"expression": "!has(object.spec) || variables.b == 2", "message": "no"}]));
    assert!(said(&cel, &review(json!({}))).is_empty());
    assert!(said(&cel, &review(json!({"spec": {"a": 1}}))).is_empty());
    assert_eq!(said(&cel, &review(json!({"spec": {"a": 2}}))), ["deny: no"]);
    let found = said(&cel, &review(json!({"spec": {}})));
    assert!(matches!(found.as_slice(), [text] if text.contains("variables.a: No such key")), "{found:?}");
}

#[test]
fn a_message_is_made_where_it_can_be() {
    let made = |message: &str| {
        let cel = spec(
            json!([]),
            json!([{"expression": "false", "message": "plain", "messageExpression": message}]),
        );
        said(&cel, &review(json!({"a": 2})))
    };
    assert_eq!(made("'a is ' + string(object.a)"), ["deny: a is 2"]);
    assert_eq!(made("object.nothing"), ["deny: plain"]);
    assert_eq!(made("' '"), ["deny: plain"]);
    assert_eq!(
        said(&spec(json!([]), json!([{"expression": "1 > 2"}])), &review(json!({}))),
        ["deny: this is not true: 1 > 2"]
    );
}

#[test]
fn a_namespace_nobody_has_seen_is_unknown() {
    let cel = spec(json!([]), json!([{"expression": "namespaceObject == null"}]));
    let mut review = review(json!({}));
    assert_eq!(
        said(&cel, &review),
        ["unknown: cel.validations[0]: the object of the namespace is not known"]
    );
    review.namespace = String::new();
    assert!(said(&cel, &review).is_empty());
}

#[test]
fn what_is_not_there_is_refused_by_name_and_place() {
    for (expression, what) in [
        ("authorizer.group('').resource('pods').check('get').allowed()", "`authorizer`"),
        ("nosuch(object)", "there is no function `nosuch`"),
        ("object.nosuch(1)", "there is no function `nosuch`"),
        ("url('http://a').getHost() == 'a'", "there is no function `url`"),
        ("[1].exists(i, lists.range(9).size() > i)", "there is no"),
        ("objct.a == 1", "there is no variable `objct`"),
        ("variables.a", "there is no variable `variables.a`"),
        ("size(variables) == 0", "`variables` is used as"),
        ("[1].exists(i, true) && i == 1", "there is no variable `i`"),
        ("Foo{a: 1} == 1", "is no type"),
    ] {
        let refusal = refused(expression);
        assert!(refusal.sentence.contains(what), "{expression}: {refusal:?}");
        assert_eq!(
            (refusal.part.as_str(), refusal.at.map(|at| at.0)),
            ("cel.validations[0].expression", Some(1)),
            "{expression}"
        );
    }
    let refusal = refused("true &&\n  object.a ==");
    assert!(refusal.at.is_some(), "{refusal:?}");
}

#[test]
fn expressions_too_deep_for_a_stack_are_refused() {
    for expression in [
        format!("{}true{}", "(".repeat(400), ")".repeat(400)),
        format!("{}1", "[".repeat(100)),
        format!("0{} == 0", "+0".repeat(8000)),
        format!("object{} == 0", ".a".repeat(8000)),
        format!("{}true", "true?true:".repeat(1600)),
        "a".repeat(20_000),
    ] {
        assert_ne!(refused(&expression).sentence, "", "{expression}");
    }
}

#[test]
fn exhausted_steps_are_unknown_even_where_absorbed() {
    let list = json!({"l": vec![1; 2000]});
    let all = ["unknown: the expressions need more than 100000 steps for this object"];
    check("object.l.all(a, object.l.all(b, a == b))", list.clone(), &all);
    check("object.l.exists(a, object.l.exists(b, a != b)) || true", list.clone(), &all);
    check("object.l.all(a, a in object.l)", list.clone(), &all);
    let doubled = format!("['aaaaaaaa']{} != []", ".map(t, t + t)".repeat(40));
    check(&doubled, json!({}), &all);
    let sizes = "object.l.map(a, string(a)).join('').size() == 2000";
    check(sizes, list, &[]);
}

/// One expression, true everywhere, for every function there is.
const EXAMPLES: &[&str] = &[
    "size('a') == 1 && string(1) == '1' && size(bytes('a')) == 1 && bool('true') && int('1') == 1 && uint(1) == 1u",
    "double('1.5') == 1.5 && type(1) == int && dyn(1) == 1",
    "timestamp('2026-01-02T03:04:05.006Z').getFullYear() == 2026 && duration('1h').getHours() == 1",
    "timestamp('2026-01-02T03:04:05Z').getMonth() == 0 && timestamp('2026-01-02T03:04:05Z').getDate() == 2",
    "timestamp('2026-01-02T03:04:05Z').getDayOfMonth() == 1 && timestamp('2026-01-02T03:04:05Z').getDayOfWeek() == 5",
    "timestamp('2026-01-02T03:04:05Z').getDayOfYear() == 1 && timestamp('2026-01-02T03:04:05Z').getMinutes() == 4",
    "timestamp('2026-01-02T03:04:05.006Z').getSeconds() == 5",
    "timestamp('2026-01-02T03:04:05.006Z').getMilliseconds() == 6",
    "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.matches('^a.c$')",
    "optional.of(1).hasValue() && optional.of(1).value() == 1 && optional.none().orValue(2) == 2",
    "optional.none().or(optional.of(3)).value() == 3 && !optional.ofNonZeroValue(0).hasValue()",
    "object.?nothing.?here.orValue('x') == 'x'",
    "'abc'.charAt(1) == 'b' && 'abc'.indexOf('c') == 2 && ['a','b'].join('-') == 'a-b' && 'aa'.lastIndexOf('a') == 1",
    "'aB'.lowerAscii() == 'ab' && 'aB'.upperAscii() == 'AB' && 'aa'.replace('a', 'b') == 'bb' && 'a,b'.split(',') == ['a','b']",
    "'abc'.substring(1) == 'bc' && ' a '.trim() == 'a' && 'ab'.reverse() == 'ba' && '%s=%d'.format(['a', 1]) == 'a=1'",
    "strings.quote('a') == '\"a\"' && base64.decode(base64.encode(b'a')) == b'a'",
    "[1,2,3].slice(0, 2) == [1,2] && [[1],[2]].flatten() == [1,2] && [1,1].distinct() == [1] && [2,1].sort() == [1,2]",
    "[{'a': 2}, {'a': 1}].sortBy(e, e.a)[0].a == 1",
    "[1,2].isSorted() && [1,2].sum() == 3 && [2,1].min() == 1 && [1,2].max() == 2 && [1,2].indexOf(2) == 1 && [1,1].lastIndexOf(1) == 1",
    "math.greatest(1, 2) == 2 && math.least(1, 2) == 1 && math.ceil(1.2) == 2.0 && math.floor(1.8) == 1.0",
    "math.round(1.5) == 2.0 && math.trunc(1.5) == 1.0 && math.abs(-1) == 1 && math.sign(-2) == -1",
    "math.isNaN(0.0 / 0.0) && math.isInf(1.0 / 0.0) && math.isFinite(1.0) && math.sqrt(4) == 2.0",
    "math.bitAnd(3, 1) == 1 && math.bitOr(1, 2) == 3 && math.bitXor(3, 1) == 2 && math.bitNot(0) == -1",
    "math.bitShiftLeft(1, 2) == 4 && math.bitShiftRight(4, 2) == 1",
    "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
    "isQuantity('1Gi') && !isQuantity('x') && quantity('1k').isInteger() && quantity('1k').asInteger() == 1000",
    "quantity('1500m').asApproximateFloat() == 1.5 && quantity('-1').sign() == -1",
    "quantity('1').add(quantity('1')) == quantity('2') && quantity('1').add(1).sub(1) == quantity('1000m')",
    "quantity('1').sub(quantity('2')).isLessThan(quantity('0')) && quantity('1Gi').isGreaterThan(quantity('1G'))",
    "quantity('1').compareTo(quantity('1')) == 0",
    "isIP('10.0.0.1') && !isIP('10.0.0') && ip('::1').family() == 6 && ip.isCanonical('::1') && !ip.isCanonical('0::1')",
    "ip('::').isUnspecified() && ip('127.0.0.1').isLoopback() && ip('224.0.0.1').isLinkLocalMulticast()",
    "ip('169.254.0.1').isLinkLocalUnicast() && ip('10.0.0.1').isGlobalUnicast() && string(ip('10.0.0.1')) == '10.0.0.1'",
    "isCIDR('10.0.0.0/8') && cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.0.0.0/8').containsIP(ip('10.1.1.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))",
    "cidr('10.1.0.0/8').ip() == ip('10.1.0.0') && cidr('10.1.0.0/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
    "string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
    "isSemver('1.2.3') && !isSemver('v1') && semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.2.3').isLessThan(semver('1.2.4')) && semver('1.2.3').isGreaterThan(semver('1.2.3-a')) && semver('1.0.0').compareTo(semver('1.0.0')) == 0",
];

#[test]
fn every_function_there_is_works() {
    let mut used = BTreeSet::new();
    for example in EXAMPLES {
        check(example, json!({}), &[]);
        let program = environment().compile(example).expect("it compiled");
        used.extend(program.references().functions().into_iter().map(str::to_owned));
        // A namespaced function is a method of its namespace to the parser.
        let namespaced = gate::FUNCTIONS
            .iter()
            .filter(|name| name.contains('.') && example.contains(&name.replace('@', "")));
        used.extend(namespaced.map(|name| (*name).to_owned()));
        used.extend(
            [("math.greatest", "math.@max"), ("math.least", "math.@min")]
                .iter()
                .filter(|(name, _)| example.contains(name))
                .map(|(_, is)| (*is).to_owned()),
        );
    }
    let unused: Vec<_> = gate::FUNCTIONS.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no example for {unused:?}");
}
