use std::sync::Arc;

use serde_json::json;

use super::*;

fn matcher(rules: Value) -> Matcher {
    let rules: Match = serde_json::from_value(rules).expect("match rules");
    Matcher::new(&rules).expect("valid rules")
}

fn pod() -> Review {
    let object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}});
    let mut review = crate::scan::offline_review(&object).expect("an object");
    review.namespace_object = Arc::new(json!({"metadata": {"labels": {"team": "a"}}}));
    review
}

fn check(rules: Value, review: &Review, expected: &Matched) {
    assert_eq!(&matcher(rules.clone()).matches(review), expected, "{rules}");
}

#[test]
fn by_default_pods_and_pod_templates_are_judged_when_written() {
    let mut review = pod();
    check(json!({}), &review, &Matched::Yes);
    review.operation = Operation::Delete;
    check(json!({}), &review, &Matched::No);
    check(json!({"operations": ["DELETE"]}), &review, &Matched::Yes);
    review.operation = Operation::Update;
    check(json!({}), &review, &Matched::Yes);
    review.kind.kind = "Service".into();
    check(json!({}), &review, &Matched::No);
    review.kind = GroupVersionKind { group: "apps".into(), version: "v1".into(), kind: "Deployment".into() };
    check(json!({}), &review, &Matched::Yes);
    review.kind.group = "other.io".into();
    check(json!({}), &review, &Matched::No);
}

#[test]
fn kinds_and_groups_fit_by_name_or_star() {
    let review = pod();
    check(json!({"kinds": [{"kinds": ["Pod"]}]}), &review, &Matched::Yes);
    check(json!({"kinds": [{"apiGroups": [""], "kinds": ["*"]}]}), &review, &Matched::Yes);
    check(json!({"kinds": [{"apiGroups": ["apps"], "kinds": ["*"]}]}), &review, &Matched::No);
    check(
        json!({"kinds": [{"kinds": ["Service"]}, {"apiGroups": ["*"], "kinds": ["Pod"]}]}),
        &review,
        &Matched::Yes,
    );
}

#[test]
fn namespaces_fit_by_glob_and_exclusion_wins() {
    let review = pod();
    for (patterns, fits) in [
        (json!(["shop"]), true),
        (json!(["sh*"]), true),
        (json!(["*op"]), true),
        (json!(["*ho*"]), true),
        (json!(["sho"]), false),
        (json!(["a", "shop"]), true),
    ] {
        let expected = if fits { Matched::Yes } else { Matched::No };
        check(json!({"namespaces": patterns}), &review, &expected);
    }
    check(json!({"namespaces": ["shop"], "excludedNamespaces": ["s*"]}), &review, &Matched::No);
    for pattern in ["", "a?", "[a]", "{a,b}", "a/b"] {
        let rules = serde_json::from_value(json!({"namespaces": [pattern]})).expect("match rules");
        assert!(Matcher::new(&rules).is_err(), "{pattern:?} can match no namespace");
    }
}

#[test]
fn a_namespace_counts_as_part_of_itself_and_other_cluster_scoped_objects_fit() {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}});
    let namespace = crate::scan::offline_review(&object).expect("an object");
    let kinds = json!([{"kinds": ["*"]}]);
    check(json!({"kinds": kinds, "namespaces": ["shop"]}), &namespace, &Matched::Yes);
    check(json!({"kinds": kinds, "namespaces": ["other"]}), &namespace, &Matched::No);
    check(
        json!({"kinds": kinds, "namespaceSelector": {"matchLabels": {"team": "a"}}}),
        &namespace,
        &Matched::Yes,
    );
    check(
        json!({"kinds": kinds, "namespaceSelector": {"matchLabels": {"team": "b"}}}),
        &namespace,
        &Matched::No,
    );
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    let node = crate::scan::offline_review(&object).expect("an object");
    check(
        json!({"kinds": kinds, "namespaces": ["other"], "namespaceSelector": {"matchLabels": {"team": "b"}}}),
        &node,
        &Matched::Yes,
    );
}

#[test]
fn a_namespace_nobody_has_seen_is_unknown_and_not_passed_over() {
    let mut review = pod();
    check(json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}), &review, &Matched::Yes);
    check(json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}), &review, &Matched::No);
    review.namespace_object = Arc::new(Value::Null);
    assert!(matches!(
        matcher(json!({"namespaceSelector": {"matchLabels": {"team": "a"}}})).matches(&review),
        Matched::Unknown(_)
    ));
    check(
        json!({"namespaceSelector": {"matchLabels": {"team": "a"}}, "namespaces": ["other"]}),
        &review,
        &Matched::No,
    );
}

#[test]
fn label_expressions_are_read_as_kubernetes_does() {
    let review = pod();
    for (expression, fits) in [
        (json!({"key": "app", "operator": "In", "values": ["web", "db"]}), true),
        (json!({"key": "app", "operator": "NotIn", "values": ["web"]}), false),
        (json!({"key": "tier", "operator": "NotIn", "values": ["web"]}), true),
        (json!({"key": "app", "operator": "Exists"}), true),
        (json!({"key": "tier", "operator": "Exists"}), false),
        (json!({"key": "tier", "operator": "DoesNotExist"}), true),
        (json!({"key": "app", "operator": "DoesNotExist"}), false),
    ] {
        let expected = if fits { Matched::Yes } else { Matched::No };
        check(json!({"labelSelector": {"matchExpressions": [expression]}}), &review, &expected);
    }
    for expression in [
        json!({"key": "a", "operator": "In"}),
        json!({"key": "a", "operator": "Exists", "values": ["b"]}),
        json!({"key": "a", "operator": "Gt", "values": ["1"]}),
    ] {
        let rules = serde_json::from_value(json!({"labelSelector": {"matchExpressions": [expression]}}))
            .expect("rules");
        assert!(Matcher::new(&rules).is_err(), "{expression}");
    }
}

#[test]
fn labels_of_the_former_object_count_too() {
    let mut review = pod();
    review.operation = Operation::Update;
    review.old_object = Arc::clone(&review.object);
    review.object = Arc::new(json!({"metadata": {"labels": {"app": "other"}}}));
    check(json!({"labelSelector": {"matchLabels": {"app": "web"}}}), &review, &Matched::Yes);
    check(json!({"labelSelector": {"matchLabels": {"app": "db"}}}), &review, &Matched::No);
}
