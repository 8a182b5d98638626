use outis_model::port::Refusal;
use outis_model::review::{GroupVersionKind, Operation, Review};
use outis_server::webhook::Admit;
use serde_json::{Value, json};

use super::*;

const POLICY: &str = "apiVersion: outis.dev/v1alpha1
kind: AdmissionPolicy
metadata: {name: hardened}
spec:
  mode: enforce
  match: {namespaces: [shop]}
  podSecurity: {level: baseline}
";

fn review(privileged: bool) -> Review {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec":
        {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": privileged}}]}});
    let kind = GroupVersionKind { group: String::new(), version: "v1".into(), kind: "Pod".into() };
    Review {
        uid: "u".into(),
        kind,
        resource: Default::default(),
        sub_resource: String::new(),
        name: "web".into(),
        namespace: "shop".into(),
        operation: Operation::Create,
        user: Default::default(),
        object: Arc::new(object),
        old_object: Arc::new(Value::Null),
        dry_run: false,
        options: Value::Null,
        namespace_object: Arc::new(Value::Null),
    }
}

fn nowhere() -> Source {
    Source::Folder("/nowhere".into())
}

fn set(text: &str) -> PolicySet {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("p.yaml"), text).expect("written");
    policies::sound(policies::written(&[dir.path().to_owned()]).expect("readable")).expect("sound")
}

#[tokio::test]
async fn a_refusal_names_policy_place_fix_and_id() {
    let workers =
        Workers::start(2, Arc::new(ArcSwap::from_pointee(set(POLICY))), nowhere(), Reports::default())
            .expect("started");
    let refused = workers.admit(review(true)).await.expect("judged");
    assert!(!refused.allowed);
    let id = &refused.annotations["decision"];
    for part in ["hardened", "spec.containers[0].securityContext.privileged", "to fix", id] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
    assert!(workers.admit(review(false)).await.expect("judged").allowed);
    assert_eq!((workers.judged(), workers.unjudged()), (2, 0));
}

#[tokio::test]
async fn changed_policies_judge_the_next_request() {
    let current = Arc::new(ArcSwap::from_pointee(set(POLICY)));
    let workers = Workers::start(1, Arc::clone(&current), nowhere(), Reports::default()).expect("started");
    assert!(!workers.admit(review(true)).await.expect("judged").allowed);
    current.store(Arc::new(set(&POLICY.replace("enforce", "warn"))));
    let warned = workers.admit(review(true)).await.expect("judged");
    assert!(warned.allowed && !warned.warnings.is_empty());
}

#[tokio::test]
async fn full_queues_turn_away_at_once_and_count() {
    let workers =
        Workers::start(1, Arc::new(ArcSwap::from_pointee(set(POLICY))), nowhere(), Reports::default())
            .expect("started");
    // Far more at once than queue and worker hold: some are judged, the rest told so, none lost.
    let asked = futures::future::join_all((0..2000).map(|_| workers.admit(review(true)))).await;
    let (judged, away): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert!(!judged.is_empty() && !away.is_empty(), "{} judged, {} turned away", judged.len(), away.len());
    assert!(away.iter().all(|answer| matches!(answer, Err(Refusal::Unavailable(_)))));
    assert_eq!((workers.judged(), workers.unjudged()), (judged.len() as u64, away.len() as u64));
}

#[test]
fn without_a_cluster_no_registration_is_waited_for() {
    for (in_cluster, missing) in [(true, vec!["registration"]), (false, vec![])] {
        let readiness = awaited(in_cluster);
        readiness.holds("policies");
        readiness.holds("certificate");
        assert_eq!(readiness.missing().into_keys().collect::<Vec<_>>(), missing);
    }
}

#[test]
fn an_unreadable_new_version_leaves_the_old_judging_and_says_so() {
    let (current, readiness) = (ArcSwap::from_pointee(set(POLICY)), Readiness::awaiting(&["policies"]));
    let old = current.load_full();
    let mut written = vec![];
    let broken = "apiVersion: outis.dev/v1alpha1\nkind: AdmissionPolicy\nmetadata: {name: broken}\nspec:\n  rego: {source: 'package x\n\n    violation contains'}\n";
    for text in [POLICY, broken] {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("p.yaml"), text).expect("written");
        written.extend(policies::written(&[dir.path().to_owned()]).expect("readable"));
    }
    take_over(&current, &old, written, &readiness);
    assert_eq!(current.load().len(), 1, "the sound one judges");
    assert!(readiness.missing()["policies"].contains("broken"), "{:?}", readiness.missing());
}
