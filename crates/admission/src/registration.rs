//! What the loaded policies need to be asked about, as data: the registration of the webhook.

use std::collections::BTreeSet;

use outis_api::admission_policy::FailurePolicy;
use outis_model::review::Operation;

use crate::set::PolicySet;

/// Requests of one kind that must reach the webhook. `*` stands for all groups or kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistrationRule {
    /// What the API server does while no webhook answers; rules of each kind go into a webhook apart.
    pub failure_policy: FailurePolicy,
    /// API group; empty for the core group.
    pub group: String,
    /// Kind; discovery says which resources and subresources carry it.
    pub kind: String,
    /// Which operations.
    pub operations: BTreeSet<Operation>,
    /// Which scope.
    pub scope: Scope,
}

/// Whether only objects in namespaces are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only objects in namespaces: a wildcard that fails closed must never reach cluster-scoped ones.
    Namespaced,
    /// Whatever the kind is.
    Any,
}

/// Every rule the set needs, one per failure policy, group and kind. A rule that fails closed covers
/// cluster-scoped objects only where a policy names their kind.
#[must_use]
pub fn rules(set: &PolicySet) -> BTreeSet<RegistrationRule> {
    let mut operations = std::collections::BTreeMap::<_, BTreeSet<Operation>>::new();
    for policy in set.iter() {
        for entry in policy.matcher.kinds() {
            let all = ["*".to_owned()];
            let groups = if entry.api_groups.is_empty() { &all[..] } else { &entry.api_groups };
            for (group, kind) in
                groups.iter().flat_map(|group| entry.kinds.iter().map(move |kind| (group, kind)))
            {
                let open = policy.failure_policy() == FailurePolicy::Ignore || kind != "*";
                let scope = if open { Scope::Any } else { Scope::Namespaced };
                let key = (policy.failure_policy(), group.clone(), kind.clone(), scope);
                operations.entry(key).or_default().extend(&policy.matcher.operations);
            }
        }
    }
    let rule = |((failure_policy, group, kind, scope), operations)| RegistrationRule {
        failure_policy,
        group,
        kind,
        operations,
        scope,
    };
    operations.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests;
