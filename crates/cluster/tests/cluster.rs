//! Against a real API server: what is applied, refused, stamped and counted is what it says, not what a double does.
//! Needs `KUBECONFIG`; `cargo xtask test cluster` starts a control plane for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Event, Namespace, ServiceAccount};
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use outis_cluster::apply::Applier;
use outis_cluster::effects::{announce, status};
use outis_cluster::install::install;
use outis_cluster::lease::{Fence, Held};
use outis_cluster::live;
use outis_cluster::manifests::{Plan, Storage};
use outis_cluster::registration::{Failure, Registration, Rule, Stance, configuration};
use outis_cluster::review::{Access, may, may_i, stamp, stamped, token};
use outis_cluster::uninstall::{Depth, uninstall};
use outis_model::alert::Priority;
use outis_model::effect::{Announcement, Condition, StatusPatch};
use outis_model::record::Subject;
use outis_model::review::User;
use outis_model::{RecordId, Timestamp};
use serde_json::{Value, json};

async fn client() -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    outis_cluster::client(None, None).await.expect("a cluster to test on: set KUBECONFIG")
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn plan(namespace: &str) -> Plan {
    Plan {
        namespace: namespace.parse().expect("name"),
        image: "localhost/outis/outis:0.1.0".into(),
        version: "0.1.0".into(),
        trust_domain: "cluster.local".parse().expect("name"),
        storage: Storage::Class(None),
        kubelet_dir: "/var/lib/kubelet".into(),
        tolerations: vec![],
        node_selector: BTreeMap::new(),
        priority_class: "system-node-critical".into(),
        user_groups: vec!["developers".into()],
        owner: None,
    }
}

async fn installed() -> Client {
    let client = client().await;
    install(&client, &plan("outis-system"), &|_| {}).await.expect("installed");
    client
}

fn kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("outis.dev", "v1alpha1", kind), plural)
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("an object")
}

/// What the API server says to an object of ours, created without being stored.
async fn said(client: &Client, name: (&str, &str), metadata: &str, spec: Value) -> String {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind(name.0, name.1));
    let given = object(
        json!({"apiVersion": "outis.dev/v1alpha1", "kind": name.0, "metadata": {"name": metadata}, "spec": spec}),
    );
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&dry, &given).await {
        Ok(_) => "accepted".into(),
        Err(kube::Error::Api(status)) => status.message.clone(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn installing_twice_changes_nothing() {
    let client = installed().await;
    let again = install(&client, &plan("outis-system"), &|_| {}).await.expect("installed");
    assert_eq!((again.created, again.changed), (vec![], vec![]));
    assert!(again.unchanged > 25);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn each_definition_refuses_what_is_wrong_with_a_sentence() {
    let client = installed().await;
    let policy = ("AdmissionPolicy", "admissionpolicies");
    eventually("the definitions are served", async || {
        (said(&client, policy, "a", json!({"podSecurity": {"level": "baseline"}})).await == "accepted")
            .then_some(())
    })
    .await;
    for (name, metadata, spec, expected) in [
        (policy, "a", json!({}), "exactly one of podSecurity, rego and cel must be given"),
        (policy, "a", json!({"podSecurity": {"level": "high"}}), "Unsupported value: \"high\""),
        (
            policy,
            "a",
            json!({"mode": "block", "cel": {"validations": [{"expression": "true"}]}}),
            "Unsupported value: \"block\"",
        ),
        (policy, "a", json!({"cel": {"validations": []}}), "should have at least 1 items"),
        (("DetectionRules", "detectionrules"), "a", json!({"rules": "- list: a\n  items: []\n"}), "accepted"),
        (
            ("DetectionRules", "detectionrules"),
            "a",
            json!({}),
            "give rules, or say with disable or enable which rules are on",
        ),
        (("DetectionRules", "detectionrules"), "a", json!({"rules": ""}), "should be at least 1 chars long"),
        (
            ("Outis", "outises"),
            "cluster",
            json!({"retention": {"days": 0}}),
            "should be greater than or equal to 1",
        ),
        (
            ("Outis", "outises"),
            "cluster",
            json!({"admission": {"excludedNamespaces": ["No_Name"]}}),
            "spec.admission.excludedNamespaces[0] in body should match",
        ),
        (("Outis", "outises"), "other", json!({}), "there is one Outis object, and its name is cluster"),
        (
            ("Outis", "outises"),
            "other",
            json!({"identity": {"svidSeconds": 5}}),
            "should be greater than or equal to 60",
        ),
        (
            ("Outis", "outises"),
            "other",
            json!({"admission": {"watchdogSeconds": -1}}),
            "should be greater than or equal to 0",
        ),
    ] {
        let told = said(&client, name, metadata, spec.clone()).await;
        assert!(told.contains(expected), "{spec}: {told}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_trust_domain_cannot_be_changed() {
    let client = installed().await;
    let mut applier = Applier::new(client.clone());
    let other =
        object(json!({"apiVersion": "outis.dev/v1alpha1", "kind": "Outis", "metadata": {"name": "cluster"},
        "spec": {"trustDomain": "other.example"}}));
    let told = applier.apply(&other).await.expect_err("refused");
    let told =
        format!("{told}: {}", std::error::Error::source(&told).map(ToString::to_string).unwrap_or_default());
    assert!(told.contains("the trust domain cannot be changed"), "{told}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_status_is_written_for_a_generation_and_fills_the_columns() {
    let client = installed().await;
    let mut applier = Applier::new(client.clone());
    let policy = object(json!({"apiVersion": "outis.dev/v1alpha1", "kind": "AdmissionPolicy",
        "metadata": {"name": "columns"}, "spec": {"podSecurity": {"level": "baseline"}}}));
    let (_, made) = eventually("the policy is taken", async || applier.apply(&policy).await.ok()).await;
    let condition =
        Condition { kind: "Accepted", holds: Some(true), reason: "Compiled".into(), text: "in force".into() };
    let patch = StatusPatch {
        kind: "AdmissionPolicy".into(),
        namespace: None,
        name: "columns".parse().expect("name"),
        generation: made.metadata.generation.unwrap_or_default(),
        conditions: vec![condition],
    };
    let more = BTreeMap::from([("engine".to_owned(), json!("podSecurity"))]);
    status(&client, &patch, more.clone(), Timestamp::now()).await.expect("written");
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("AdmissionPolicy", "admissionpolicies"));
    let first = api.get("columns").await.expect("there");
    assert_eq!(
        first.data.pointer("/status/conditions/0/observedGeneration"),
        Some(&json!(made.metadata.generation))
    );
    status(&client, &patch, more, Timestamp::now()).await.expect("written");
    let second = api.get("columns").await.expect("there");
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version, "nothing new was written");
    let request = http::Request::get("/apis/outis.dev/v1alpha1/admissionpolicies/columns")
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(vec![])
        .expect("a request");
    let table: Value = client.request(request).await.expect("a table");
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[1], &cells[2], &cells[3]),
        (&json!("podSecurity"), &json!("observe"), &json!("True")),
        "{cells}"
    );
    applier.delete(&policy).await.expect("deleted");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_announcement_is_one_event_however_often_it_is_made() {
    let client = client().await;
    let announcement = Announcement {
        record: RecordId::new(Timestamp::now(), 7),
        subject: Subject {
            namespace: "default".parse().ok(),
            kind: "Pod".into(),
            name: "web".parse().ok(),
            node: None,
        },
        reason: "Alert".into(),
        text: "a shell".into(),
        priority: Priority::Warning,
    };
    for _ in 0..2 {
        announce(&client, "outis-system", &announcement, Timestamp::now()).await.expect("announced");
    }
    let events: Api<Event> = Api::namespaced(client, "default");
    let ours = ListParams::default().fields("reportingComponent=outis.dev/controller");
    let found = events.list(&ours).await.expect("listed").items;
    assert_eq!(found.iter().filter(|event| event.message.as_deref() == Some("a shell")).count(), 1);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_token_tells_its_account_and_only_for_its_audience() {
    let client = client().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("asker".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    let _ = accounts.create(&PostParams::default(), &account).await;
    let request = serde_json::from_value(json!({"spec": {"audiences": ["outis"], "expirationSeconds": 600}}))
        .expect("a request");
    let made =
        accounts.create_token_request("asker", &PostParams::default(), &request).await.expect("a token");
    let secret = made.status.and_then(|status| status.token).expect("a token");
    let says = token(&client, &secret, "outis").await.expect("answered");
    assert!(says.authenticated && says.audiences.contains(&"outis".to_owned()), "{says:?}");
    assert_eq!(says.username, "system:serviceaccount:default:asker");
    let other = token(&client, &secret, "somebody-else").await.expect("answered");
    assert!(!other.authenticated, "{other:?}");
    assert!(!token(&client, "no token", "outis").await.expect("answered").authenticated);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn rights_are_asked_for_a_user_and_for_ourselves() {
    let client = client().await;
    let default = "default".parse().expect("name");
    let access = Access { namespace: Some(&default), verb: "get", group: "", resource: "pods/log", name: "" };
    assert!(may_i(&client, &access).await.expect("answered"));
    let nobody = User { username: "jo".into(), ..User::default() };
    assert!(!may(&client, &nobody, &access).await.expect("answered"));
    let admin = User { username: "jo".into(), groups: vec!["system:masters".into()], ..User::default() };
    assert!(may(&client, &admin, &access).await.expect("answered"));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_stamp_names_who_made_it_and_only_for_its_signer() {
    const REQUEST: &str = include_str!("cluster/request.pem");
    let client = client().await;
    let name = stamp(&client, "outis.dev/user", REQUEST).await.expect("made");
    let found = stamped(&client, &name, "outis.dev/user").await.expect("answered").expect("there");
    assert!(!found.user.username.is_empty());
    assert_eq!(String::from_utf8_lossy(&found.request).trim(), REQUEST.trim());
    assert_eq!(stamped(&client, &name, "other.dev/user").await.expect("answered"), None);
    assert_eq!(stamped(&client, "none", "outis.dev/user").await.expect("answered"), None);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_lease_is_held_by_one_until_it_lets_go() {
    let client = client().await;
    let (one, two) =
        (Fence::new(&client, "default", "fence", "one"), Fence::new(&client, "default", "fence", "two"));
    let now = Timestamp::now();
    assert_eq!(one.hold(now).await.expect("answered"), Held::Ours);
    assert_eq!(two.hold(now).await.expect("answered"), Held::By("one".into()));
    assert_eq!(one.hold(now).await.expect("answered"), Held::Ours);
    one.release().await.expect("released");
    assert_eq!(two.hold(now).await.expect("answered"), Held::Ours);
    let later = Timestamp::from_second(now.as_second() + 60).expect("time");
    assert_eq!(one.hold(later).await.expect("answered"), Held::Ours, "a silent holder is believed no longer");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_registration_is_taken_and_goes_with_its_namespace_object() {
    let client = client().await;
    let home = Api::<Namespace>::all(client.clone()).get("default").await.expect("there");
    let made = configuration(&Registration {
        home: "outis-system".parse().expect("name"),
        home_uid: home.uid(),
        bundle: include_str!("cluster/root.pem").into(),
        excluded: vec![],
        rules: BTreeSet::from([Rule {
            failure: Failure::Ignore,
            group: String::new(),
            resources: BTreeSet::from(["pods".to_owned(), "pods/ephemeralcontainers".to_owned()]),
            operations: BTreeSet::from(["CREATE".to_owned(), "UPDATE".to_owned()]),
            namespaced: false,
        }]),
        stance: Stance::default(),
    })
    .expect("one");
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry, &made).await.expect("taken");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn live_objects_of_registered_kinds_are_found_with_when_they_changed() {
    let client = client().await;
    let rule = |group: &str, resource: &str| Rule {
        failure: Failure::Ignore,
        group: group.into(),
        resources: BTreeSet::from([resource.to_owned()]),
        operations: BTreeSet::from(["CREATE".to_owned()]),
        namespaced: true,
    };
    let rules = BTreeSet::from([rule("", "configmaps"), rule("apps", "deployments"), rule("", "nodes")]);
    let (resources, silent) = live::resources(&client, &rules).await.expect("answered");
    let plurals: Vec<&str> = resources.iter().map(|resource| resource.plural.as_str()).collect();
    assert_eq!((plurals, silent.len()), (vec!["configmaps", "deployments"], 0), "nodes lie in no namespace");
    let (all, _) = live::resources(&client, &BTreeSet::from([rule("*", "*")])).await.expect("answered");
    assert!(all.len() > 15 && all.iter().all(|resource| resource.plural != "nodes"), "{}", all.len());
    let mut applier = Applier::new(client.clone());
    let made = |value: &str| {
        object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lives", "namespace": "default"},
            "data": {"value": value}}),
        )
    };
    let changed = async || {
        let found = live::get(&client, &resources[0], Some("default"), "lives").await.expect("answered");
        found.expect("there").changed
    };
    applier.apply(&made("one")).await.expect("made");
    let first = changed().await;
    // Times are whole seconds: it is changed until one has passed.
    let mut number = 0;
    eventually("a change moves its time", async || {
        number += 1;
        applier.apply(&made(&number.to_string())).await.expect("changed");
        (changed().await > first).then_some(())
    })
    .await;
    let (mut from, mut seen) = (None, false);
    loop {
        let (objects, next) = live::page(&client, &resources[0], from.as_deref()).await.expect("listed");
        seen |= objects
            .iter()
            .any(|live| live.value["metadata"]["name"] == "lives" && live.value["kind"] == "ConfigMap");
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert!(seen, "and it is in the list");
    applier.delete(&made("")).await.expect("deleted");
    assert!(live::get(&client, &resources[0], Some("default"), "lives").await.expect("answered").is_none());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn z_uninstalling_leaves_users_objects_unless_purged() {
    let client = installed().await;
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("AdmissionPolicy", "admissionpolicies"));
    let mut applier = Applier::new(client.clone());
    let policy = object(json!({"apiVersion": "outis.dev/v1alpha1", "kind": "AdmissionPolicy",
        "metadata": {"name": "kept"}, "spec": {"podSecurity": {"level": "baseline"}}}));
    eventually("the policy is taken", async || applier.apply(&policy).await.ok()).await;
    uninstall(&client, &plan("outis-system"), Depth::Parts, &|_| {}).await.expect("uninstalled");
    assert!(api.get_opt("kept").await.expect("answered").is_some(), "a user's policy stays");
}
