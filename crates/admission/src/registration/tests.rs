use serde_json::json;

use super::*;

#[test]
fn rules_follow_from_the_policies_and_wildcards_never_fail_closed_on_the_cluster() {
    let policy = |name: &str, spec: serde_json::Value| {
        (name.parse().expect("a name"), 1, serde_json::from_value(spec).expect("a specification"))
    };
    let (set, faults) = PolicySet::compile([
        policy(
            "a",
            json!({"podSecurity": {"level": "baseline"}, "match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}}),
        ),
        policy(
            "b",
            json!({"podSecurity": {"level": "baseline"}, "match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}], "operations": ["DELETE"]}}),
        ),
        policy(
            "c",
            json!({"podSecurity": {"level": "baseline"}, "failurePolicy": "Fail", "match": {"kinds": [{"kinds": ["*"]}, {"kinds": ["Node"]}]}}),
        ),
    ]);
    assert_eq!(faults, []);
    let rule = |failure_policy, group: &str, kind: &str, operations: &[Operation], scope| RegistrationRule {
        failure_policy,
        group: group.into(),
        kind: kind.into(),
        operations: operations.iter().copied().collect(),
        scope,
    };
    use Operation::{Create, Delete, Update};
    assert_eq!(
        rules(&set).into_iter().collect::<Vec<_>>(),
        [
            rule(FailurePolicy::Ignore, "", "Pod", &[Create, Update, Delete], Scope::Any),
            rule(FailurePolicy::Fail, "*", "*", &[Create, Update], Scope::Namespaced),
            rule(FailurePolicy::Fail, "*", "Node", &[Create, Update], Scope::Any),
        ]
    );
}

#[test]
fn a_policy_without_kinds_needs_pods_and_everything_that_makes_them() {
    let spec =
        serde_json::from_value(json!({"podSecurity": {"level": "baseline"}})).expect("a specification");
    let (set, _) = PolicySet::compile([("a".parse().expect("a name"), 1, spec)]);
    let kinds: Vec<_> = rules(&set).into_iter().map(|rule| rule.kind).collect();
    assert_eq!(
        kinds,
        [
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "DaemonSet",
            "Deployment",
            "ReplicaSet",
            "StatefulSet",
            "CronJob",
            "Job"
        ]
    );
}
