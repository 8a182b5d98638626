//! Which requests a policy judges: kinds, operations, namespaces, selectors; every part must fit.

mod selector;

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use outis_api::admission_policy::{Kinds, Match, OperationName};
use outis_model::review::{GroupVersionKind, Operation, Review};
use serde_json::Value;

use crate::fault::Refusal;
use selector::Selector;

/// The kinds judged when a policy names none: Pod and the built-in kinds with a pod template.
const PODS: [(&str, &str); 9] = [
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
];

/// The match rules of a policy, ready to use.
#[derive(Debug)]
pub(crate) struct Matcher {
    kinds: Vec<Kinds>,
    pub(crate) operations: BTreeSet<Operation>,
    namespaces: Option<GlobSet>,
    excluded: GlobSet,
    namespace_selector: Option<Selector>,
    label_selector: Option<Selector>,
}

/// Whether a request is a policy's business.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    Yes,
    No,
    /// Nobody can tell, for this reason.
    Unknown(&'static str),
}

impl Matcher {
    pub(crate) fn new(rules: &Match) -> Result<Self, Refusal> {
        let entry =
            |(group, kind): (&str, &str)| Kinds { api_groups: vec![group.into()], kinds: vec![kind.into()] };
        let kinds = if rules.kinds.is_empty() { PODS.map(entry).to_vec() } else { rules.kinds.clone() };
        let operations = match rules.operations.as_slice() {
            [] => [Operation::Create, Operation::Update].into(),
            named => named.iter().map(|name| operation(*name)).collect(),
        };
        let select =
            |part, selector: &Option<_>| selector.as_ref().map(|s| Selector::new(part, s)).transpose();
        Ok(Self {
            kinds,
            operations,
            namespaces: match rules.namespaces.as_slice() {
                [] => None,
                patterns => Some(globs("match.namespaces", patterns)?),
            },
            excluded: globs("match.excludedNamespaces", &rules.excluded_namespaces)?,
            namespace_selector: select("match.namespaceSelector", &rules.namespace_selector)?,
            label_selector: select("match.labelSelector", &rules.label_selector)?,
        })
    }

    /// The kinds by name; `None` when any kind may match.
    pub(crate) fn kind_names(&self) -> Option<BTreeSet<&str>> {
        let names: BTreeSet<_> =
            self.kinds.iter().flat_map(|entry| &entry.kinds).map(String::as_str).collect();
        (!names.contains("*")).then_some(names)
    }

    /// Groups and kinds as the policy means them.
    pub(crate) fn kinds(&self) -> &[Kinds] {
        &self.kinds
    }

    /// Whether only chosen namespaces are judged, so that cluster-scoped objects are none of the point.
    pub(crate) fn matches(&self, review: &Review) -> Matched {
        if !self.operations.contains(&review.operation) || !self.matches_kind(&review.kind) {
            return Matched::No;
        }
        if !self.matches_namespace(review) || !self.matches_labels(review) {
            return Matched::No;
        }
        self.matches_namespace_labels(review)
    }

    fn matches_kind(&self, kind: &GroupVersionKind) -> bool {
        let fits = |names: &[String], name: &str| names.iter().any(|n| n == "*" || n == name);
        let group = |entry: &Kinds| entry.api_groups.is_empty() || fits(&entry.api_groups, &kind.group);
        self.kinds.iter().any(|entry| group(entry) && fits(&entry.kinds, &kind.kind))
    }

    /// A Namespace counts as part of itself; other cluster-scoped objects are in none, and fit.
    fn matches_namespace(&self, review: &Review) -> bool {
        let Some(namespace) = namespace(review) else { return true };
        self.namespaces.as_ref().is_none_or(|globs| globs.is_match(namespace))
            && !self.excluded.is_match(namespace)
    }

    fn matches_labels(&self, review: &Review) -> bool {
        let Some(selector) = &self.label_selector else { return true };
        let objects = [&review.object, &review.old_object];
        objects.into_iter().filter(|object| !object.is_null()).any(|object| selector.matches(labels(object)))
    }

    fn matches_namespace_labels(&self, review: &Review) -> Matched {
        let Some(selector) = &self.namespace_selector else { return Matched::Yes };
        if is_namespace(review) {
            let object = if review.object.is_null() { &review.old_object } else { &review.object };
            return verdict(selector.matches(labels(object)));
        }
        if review.namespace.is_empty() {
            return Matched::Yes;
        }
        if review.namespace_object.is_null() {
            return Matched::Unknown(
                "the labels of the namespace are not known, and the policy selects by them",
            );
        }
        verdict(selector.matches(labels(&review.namespace_object)))
    }
}

fn verdict(matches: bool) -> Matched {
    if matches { Matched::Yes } else { Matched::No }
}

fn operation(name: OperationName) -> Operation {
    match name {
        OperationName::Create => Operation::Create,
        OperationName::Update => Operation::Update,
        OperationName::Delete => Operation::Delete,
        OperationName::Connect => Operation::Connect,
    }
}

fn is_namespace(review: &Review) -> bool {
    review.kind.group.is_empty() && review.kind.kind == "Namespace"
}

fn namespace(review: &Review) -> Option<&str> {
    let name = if is_namespace(review) { &review.name } else { &review.namespace };
    Some(name.as_str()).filter(|name| !name.is_empty())
}

fn labels(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object)
}

fn globs(part: &str, patterns: &[String]) -> Result<GlobSet, Refusal> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        // Only `*` is special; namespaces hold no other character that globs give a meaning to.
        let foreign =
            pattern.bytes().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'*')));
        if pattern.is_empty() || foreign {
            let text = format!("{pattern:?} can match no namespace; use letters, digits, `-` and `*`");
            return Err(Refusal::new(part, text));
        }
        let glob =
            GlobBuilder::new(pattern).build().map_err(|error| Refusal::new(part, error.to_string()))?;
        builder.add(glob);
    }
    builder.build().map_err(|error| Refusal::new(part, error.to_string()))
}

#[cfg(test)]
mod tests;
