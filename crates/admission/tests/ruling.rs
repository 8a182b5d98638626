//! What holds for every set of policies: order does not matter, nothing gets more open by adding to it,
//! a faulty version never takes the place of a good one, a large object is judged and not refused for
//! its size.

use std::sync::Arc;

use outis_admission::scan::offline_review;
use outis_admission::{Judge, Limits, PolicySet};
use outis_api::AdmissionPolicySpec;
use outis_model::review::{Review, Ruling};
use outis_model::{PolicyName, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

type Wanted = (PolicyName, i64, AdmissionPolicySpec);

fn policy(name: &str, generation: i64, spec: Value) -> Wanted {
    (name.parse().expect("a name"), generation, serde_json::from_value(spec).expect("a specification"))
}

fn pod(spec: &Value) -> Review {
    offline_review(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}))
        .expect("a pod")
}

fn ruling(policies: &[Wanted], review: &Review) -> Ruling {
    let (set, faults) = PolicySet::compile(policies.iter().cloned());
    assert_eq!(faults, []);
    Judge::new(&Arc::new(set)).review(review, Limits::default()).outcome
}

#[test]
fn a_judge_says_which_set_it_judges_by() {
    let set = Arc::new(PolicySet::compile(pool()).0);
    assert_eq!((set.len(), set.is_empty()), (pool().len(), false));
    assert_eq!((PolicySet::default().len(), PolicySet::default().is_empty()), (0, true));
    assert!(Arc::ptr_eq(Judge::new(&set).set(), &set));
}

/// The policies the properties draw from: one that never fits, some that deny, one that never can tell.
fn pool() -> Vec<Wanted> {
    let rego = "package p\nviolation contains {\"msg\": msg} if {\n\
                some c in input.review.object.spec.containers\nnot startswith(c.image, \"registry/\")\n\
                msg := sprintf(\"image %v\", [c.image])\n}";
    vec![
        policy("baseline", 1, json!({"mode": "enforce", "podSecurity": {"level": "baseline"}})),
        policy("restricted", 1, json!({"mode": "warn", "podSecurity": {"level": "restricted"}})),
        policy("images", 1, json!({"mode": "enforce", "rego": {"source": rego}})),
        policy(
            "limit",
            1,
            json!({"mode": "enforce", "cel": {"params": {"n": 2},
            "validations": [{"expression": "object.spec.containers.size() <= params.n"}]}}),
        ),
        policy(
            "elsewhere",
            1,
            json!({"mode": "enforce", "match": {"namespaces": ["elsewhere"]}, "podSecurity": {"level": "restricted"}}),
        ),
        policy(
            "team",
            1,
            json!({"mode": "observe", "match": {"namespaceSelector": {"matchLabels": {"a": "b"}}}, "podSecurity": {"level": "baseline"}}),
        ),
    ]
}

fn any_pod() -> impl Strategy<Value = Review> {
    let container = (any::<bool>(), prop_oneof!["registry/a", "evil/b"]).prop_map(|(privileged, image)| {
        json!({"name": "c", "image": image, "securityContext": {"privileged": privileged}})
    });
    (proptest::collection::vec(container, 0..4), any::<bool>())
        .prop_map(|(containers, host)| pod(&json!({"containers": containers, "hostNetwork": host})))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_policies_does_not_matter(review in any_pod(), policies in Just(pool()).prop_shuffle()) {
        prop_assert_eq!(ruling(&policies, &review), ruling(&pool(), &review));
    }

    #[test]
    fn adding_a_policy_never_turns_a_refusal_into_an_admission(
        review in any_pod(),
        some in proptest::sample::subsequence(pool(), 0..=6),
        more in proptest::sample::subsequence(pool(), 0..=6),
    ) {
        let mut both = some.clone();
        both.extend(more.into_iter().filter(|(name, ..)| some.iter().all(|(other, ..)| other != name)));
        let (few, many) = (ruling(&some, &review), ruling(&both, &review));
        prop_assert!(many.refuses() || !few.refuses());
        prop_assert!(many.verdict() >= few.verdict());
        prop_assert!(few.findings.iter().all(|finding| many.findings.contains(finding)));
    }

    #[test]
    fn the_mode_changes_no_verdict(review in any_pod()) {
        for (name, generation, spec) in pool() {
            let verdicts = ["observe", "warn", "enforce"].map(|mode| {
                let spec = AdmissionPolicySpec { mode: serde_json::from_value(json!(mode)).expect("a mode"), ..spec.clone() };
                let found = ruling(&[(name.clone(), generation, spec)], &review).findings;
                found.into_iter().map(|finding| (finding.verdict, finding.reason)).collect::<Vec<_>>()
            });
            prop_assert!(verdicts.iter().all(|one| *one == verdicts[0]));
        }
    }

    #[test]
    fn loading_any_text_never_panics(text in "(package p\n)?[ -~\n]{0,200}", v0 in any::<bool>()) {
        let version = if v0 { "v0" } else { "v1" };
        let (set, faults) = PolicySet::compile([
            policy("rego", 1, json!({"rego": {"source": text, "version": version}})),
            policy("cel", 1, json!({"cel": {"validations": [{"expression": text}]}})),
        ]);
        prop_assert_eq!(set.len() + faults.len(), 2);
    }
}

#[test]
fn only_what_has_not_changed_is_taken_over_as_it_is() {
    let (old, _) = PolicySet::compile(pool());
    let spec = |level: &str| json!({"mode": "enforce", "podSecurity": {"level": level}});
    let same = |name: &str, generation, spec| {
        let name: PolicyName = name.parse().expect("a name");
        let wanted = policy(name.as_str(), generation, spec);
        let (new, _) = PolicySet::compile_onto(&old, [wanted]);
        Arc::ptr_eq(old.get(&name).expect("there"), new.get(&name).expect("there"))
    };
    assert!(same("baseline", 1, spec("baseline")));
    assert!(!same("baseline", 2, spec("baseline")), "its generation is told");
    assert!(!same("baseline", 1, spec("restricted")));
}

#[test]
fn a_faulty_version_leaves_the_former_one_judging() {
    let good = json!({"mode": "enforce", "podSecurity": {"level": "baseline"}});
    let (old, _) = PolicySet::compile([policy("a", 1, good.clone()), policy("b", 1, good.clone())]);
    let bad =
        json!({"mode": "enforce", "rego": {"source": "package p\nviolation contains {\"msg\": nosuch(1)}"}});
    let (new, faults) = PolicySet::compile_onto(&old, [policy("a", 2, bad.clone()), policy("c", 1, bad)]);
    let kept: Vec<_> =
        new.iter().map(|policy| (policy.name().as_str(), policy.generation(), policy.engine())).collect();
    assert_eq!(kept, [("a", 1, "podSecurity")], "`b` is gone, `c` never was");
    let faults: Vec<_> =
        faults.iter().map(|fault| (fault.policy.as_str(), fault.line, fault.older_kept)).collect();
    assert_eq!(faults, [("a", Some(2), true), ("c", Some(2), false)]);
    assert!(
        Judge::new(&Arc::new(new))
            .review(&pod(&json!({"containers": [], "hostPID": true})), Limits::default())
            .outcome
            .refuses()
    );
}

#[test]
fn ten_thousand_containers_are_judged() {
    let container = |index: usize| json!({"name": format!("c{index}"), "image": "registry/a"});
    let mut containers: Vec<_> = (0..10_000).map(container).collect();
    let review = |containers: &[Value]| pod(&json!({"containers": containers}));
    let policies: Vec<_> =
        pool().into_iter().filter(|(name, ..)| matches!(name.as_str(), "images" | "baseline")).collect();
    let found = ruling(&policies, &review(&containers));
    assert_eq!((found.verdict(), found.evaluated), (Verdict::Allow, 2), "{:?}", found.findings.first());
    containers[9_999]["image"] = json!("evil/b");
    let found = ruling(&policies, &review(&containers));
    let texts: Vec<_> = found.findings.iter().map(|finding| finding.reason.to_string()).collect();
    assert_eq!(texts, ["[images] image evil/b"]);
}

#[test]
fn findings_are_bounded_and_the_rest_counted() {
    let containers: Vec<_> =
        (0..100).map(|_| json!({"name": "c", "securityContext": {"privileged": true}})).collect();
    let found = ruling(&pool()[..1], &pod(&json!({"containers": containers})));
    assert_eq!(found.findings.len(), 64);
    assert!(found.findings[63].reason.text.ends_with("(and 36 more findings of this policy)"));
}
