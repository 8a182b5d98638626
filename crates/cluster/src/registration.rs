//! The webhook's registration, as data: which requests the API server asks us about, and whom it believes.
//!
//! One `ValidatingWebhookConfiguration`, up to two webhooks in it: what may go on without us (`Ignore`), and what
//! may not (`Fail`), which is namespaced unless a policy names a cluster-scoped kind.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference,
};
use outis_model::Namespace;

/// The object's name.
pub const NAME: &str = "outis";
/// The Service behind it.
pub const SERVICE: &str = "outis-webhook";
/// The webhook of what may go on without us.
pub const IGNORE: &str = "ignore.admission.outis.dev";
/// The webhook of what may not.
pub const FAIL: &str = "fail.admission.outis.dev";
/// Seconds the API server waits for us.
pub const TIMEOUT: i32 = 5;
/// Namespaces nobody is ever refused in.
pub const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What the API server does while we do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Goes on.
    Ignore,
    /// Refuses.
    Fail,
}

/// What becomes of `Fail` while nobody is there to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stance {
    /// It refuses, as the policies say.
    #[default]
    AsWritten,
    /// It lets go on: the watchdog's patience is at an end.
    Open,
}

/// One rule: resources of one group under one failure policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What happens without us.
    pub failure: Failure,
    /// API group; empty for core.
    pub group: String,
    /// Plural, with subresource: `pods`, `pods/ephemeralcontainers`.
    pub resources: BTreeSet<String>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operations: BTreeSet<String>,
    /// Whether only objects in namespaces are meant.
    pub namespaced: bool,
}

/// What a registration is made of.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Our namespace.
    pub home: Namespace,
    /// Its UID: the registration goes when it does.
    pub home_uid: Option<String>,
    /// Roots of the webhook's serving certificate, PEM.
    pub bundle: String,
    /// Namespaces that are never asked about, beside `SYSTEM` and our own.
    pub excluded: Vec<String>,
    /// What is asked about.
    pub rules: BTreeSet<Rule>,
    /// What `Fail` is now.
    pub stance: Stance,
}

impl Registration {
    /// Namespaces nobody is asked about.
    #[must_use]
    pub fn unasked(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = SYSTEM.iter().map(ToString::to_string).collect();
        names.insert(self.home.to_string());
        names.extend(self.excluded.iter().cloned());
        names
    }
}

/// How the live object stands; `None` when nothing in it was written to fail.
#[must_use]
pub fn stance(live: &ValidatingWebhookConfiguration) -> Option<Stance> {
    let fail = live.webhooks.iter().flatten().find(|webhook| webhook.name == FAIL)?;
    Some(match fail.failure_policy.as_deref() {
        Some("Ignore") => Stance::Open,
        _ => Stance::AsWritten,
    })
}

/// The object; `None` when there is nothing to ask.
#[must_use]
pub fn configuration(registration: &Registration) -> Option<ValidatingWebhookConfiguration> {
    let mut by_failure: BTreeMap<Failure, Vec<&Rule>> = BTreeMap::new();
    for rule in registration.rules.iter().filter(|rule| !rule.resources.is_empty()) {
        by_failure.entry(rule.failure).or_default().push(rule);
    }
    if by_failure.is_empty() {
        return None;
    }
    let webhooks = by_failure.into_iter().map(|(failure, rules)| webhook(registration, failure, &rules));
    let labels = [("app.kubernetes.io/name", "outis"), ("app.kubernetes.io/part-of", "outis")];
    Some(ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            labels: Some(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
            annotations: Some([(crate::manifests::HOME.into(), registration.home.to_string())].into()),
            owner_references: registration.home_uid.clone().map(|uid| {
                vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Namespace".into(),
                    name: registration.home.to_string(),
                    uid,
                    ..OwnerReference::default()
                }]
            }),
            ..ObjectMeta::default()
        },
        webhooks: Some(webhooks.collect()),
    })
}

fn webhook(registration: &Registration, failure: Failure, rules: &[&Rule]) -> ValidatingWebhook {
    let (name, policy) = match (failure, registration.stance) {
        (Failure::Ignore, _) => (IGNORE, "Ignore"),
        (Failure::Fail, Stance::AsWritten) => (FAIL, "Fail"),
        (Failure::Fail, Stance::Open) => (FAIL, "Ignore"),
    };
    ValidatingWebhook {
        name: name.into(),
        admission_review_versions: vec!["v1".into()],
        side_effects: "None".into(),
        timeout_seconds: Some(TIMEOUT),
        failure_policy: Some(policy.into()),
        match_policy: Some("Equivalent".into()),
        client_config: WebhookClientConfig {
            service: Some(ServiceReference {
                namespace: registration.home.to_string(),
                name: SERVICE.into(),
                path: Some("/v1/admit".into()),
                port: Some(443),
            }),
            ca_bundle: Some(ByteString(registration.bundle.clone().into_bytes())),
            url: None,
        },
        namespace_selector: Some(selector(registration)),
        rules: Some(rules.iter().map(|rule| written(rule)).collect()),
        ..ValidatingWebhook::default()
    }
}

fn selector(registration: &Registration) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "kubernetes.io/metadata.name".into(),
            operator: "NotIn".into(),
            values: Some(registration.unasked().into_iter().collect()),
        }]),
        match_labels: None,
    }
}

fn written(rule: &Rule) -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![rule.group.clone()]),
        api_versions: Some(vec!["*".into()]),
        resources: Some(rule.resources.iter().cloned().collect()),
        operations: Some(rule.operations.iter().cloned().collect()),
        scope: Some(if rule.namespaced { "Namespaced" } else { "*" }.into()),
    }
}

/// The resources of a group that carry a kind, with the subresources a policy on that kind must see: a pod can
/// be changed through `ephemeralcontainers`, and a replica count through `scale` changes no template.
#[must_use]
pub fn resources_of(kind: &str, served: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if kind == "*" {
        return BTreeSet::from(["*".into(), "pods/ephemeralcontainers".into()]);
    }
    for (plural, _) in served.iter().filter(|(_, name)| name == kind) {
        if !plural.contains('/') {
            found.insert(plural.clone());
        }
        if plural == "pods/ephemeralcontainers" {
            found.insert(plural.clone());
        }
    }
    if found.contains("pods") {
        found.insert("pods/ephemeralcontainers".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(rules: &[(Failure, &str)]) -> Registration {
        let rule = |(failure, resource): &(Failure, &str)| Rule {
            failure: *failure,
            group: String::new(),
            resources: BTreeSet::from([(*resource).to_owned()]),
            operations: BTreeSet::from(["CREATE".to_owned()]),
            namespaced: *failure == Failure::Fail,
        };
        Registration {
            home: "outis-system".parse().expect("name"),
            home_uid: Some("u-1".into()),
            bundle: "PEM".into(),
            excluded: vec!["rook-ceph".into()],
            rules: rules.iter().map(rule).collect(),
            stance: Stance::AsWritten,
        }
    }

    #[test]
    fn system_namespaces_are_never_asked_about() {
        let made = configuration(&registration(&[(Failure::Fail, "pods")])).expect("one");
        let webhook = &made.webhooks.as_ref().expect("webhooks")[0];
        let selector = webhook.namespace_selector.as_ref().expect("a selector");
        let names = selector.match_expressions.as_ref().expect("one")[0].values.clone().expect("names");
        assert_eq!(names, ["kube-node-lease", "kube-public", "kube-system", "outis-system", "rook-ceph"]);
        assert_eq!(webhook.rules.as_ref().expect("rules")[0].scope.as_deref(), Some("Namespaced"));
    }

    #[test]
    fn it_goes_when_our_namespace_goes() {
        let made = configuration(&registration(&[(Failure::Ignore, "pods")])).expect("one");
        let owners = made.metadata.owner_references.expect("owners");
        assert_eq!((owners[0].kind.as_str(), owners[0].uid.as_str()), ("Namespace", "u-1"));
    }

    #[test]
    fn each_failure_policy_has_a_webhook_of_its_own_and_none_means_no_object() {
        let both = configuration(&registration(&[(Failure::Ignore, "pods"), (Failure::Fail, "secrets")]));
        let policies: Vec<_> = both
            .expect("one")
            .webhooks
            .expect("webhooks")
            .into_iter()
            .map(|webhook| webhook.failure_policy.unwrap_or_default())
            .collect();
        assert_eq!(policies, ["Ignore", "Fail"]);
        assert!(configuration(&registration(&[])).is_none());
    }

    #[test]
    fn an_open_stance_lets_go_on_what_would_fail_and_keeps_its_rules() {
        let mut wanted = registration(&[(Failure::Ignore, "pods"), (Failure::Fail, "secrets")]);
        let closed = configuration(&wanted).expect("one");
        wanted.stance = Stance::Open;
        let open = configuration(&wanted).expect("one");
        assert_eq!((stance(&closed), stance(&open)), (Some(Stance::AsWritten), Some(Stance::Open)));
        let seen = |made: &ValidatingWebhookConfiguration| -> Vec<(String, Option<String>)> {
            let webhooks = made.webhooks.iter().flatten();
            webhooks.map(|webhook| (webhook.name.clone(), webhook.failure_policy.clone())).collect()
        };
        let ignore = Some("Ignore".to_owned());
        assert_eq!(seen(&open), [(IGNORE.to_owned(), ignore.clone()), (FAIL.to_owned(), ignore)]);
        let rules =
            |made: &ValidatingWebhookConfiguration| made.webhooks.as_ref().expect("two")[1].rules.clone();
        assert_eq!(rules(&open), rules(&closed));
        let one = configuration(&registration(&[(Failure::Ignore, "pods")])).expect("one");
        assert_eq!(stance(&one), None, "nothing in it was written to fail");
    }

    #[test]
    fn a_pod_is_judged_through_its_ephemeral_containers_too() {
        let served: Vec<(String, String)> = [
            ("pods", "Pod"),
            ("pods/status", "Pod"),
            ("pods/ephemeralcontainers", "Pod"),
            ("pods/eviction", "Eviction"),
            ("services", "Service"),
        ]
        .iter()
        .map(|(plural, kind)| ((*plural).to_owned(), (*kind).to_owned()))
        .collect();
        let found: Vec<_> = resources_of("Pod", &served).into_iter().collect();
        assert_eq!(found, ["pods", "pods/ephemeralcontainers"]);
        assert!(resources_of("Nothing", &served).is_empty());
    }
}
