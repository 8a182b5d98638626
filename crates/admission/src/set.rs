//! All policies that judge, compiled together and never half.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use outis_api::AdmissionPolicySpec;
use outis_model::PolicyName;
use outis_model::review::{Operation, Review};

use crate::fault::{Fault, Refusal};
use crate::matching::Matcher;
use crate::policy::Policy;

/// An immutable set of compiled policies, in order of their names. Share it behind an `Arc`; each
/// worker judges with a [`Judge`](crate::Judge) of its own.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    by_kind: HashMap<(Operation, String), Vec<usize>>,
    any_kind: HashMap<Operation, Vec<usize>>,
}

impl PolicySet {
    /// Compiles policies given as name, generation and specification. What does not compile is left
    /// out and named.
    pub fn compile(
        policies: impl IntoIterator<Item = (PolicyName, i64, AdmissionPolicySpec)>,
    ) -> (Self, Vec<Fault>) {
        Self::compile_onto(&Self::default(), policies)
    }

    /// Compiles policies, keeping from `old` what has not changed, and the former version of whatever
    /// does not compile now.
    pub fn compile_onto(
        old: &Self,
        policies: impl IntoIterator<Item = (PolicyName, i64, AdmissionPolicySpec)>,
    ) -> (Self, Vec<Fault>) {
        let mut ready = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, generation, spec) in policies {
            if ready.contains_key(&name) {
                let refusal =
                    Refusal::new("metadata.name", "two policies have this name; the first one judges");
                faults.push(refusal.of(name, generation, false));
                continue;
            }
            let former = old.get(&name);
            if let Some(former) =
                former.filter(|former| former.spec == spec && former.generation == generation)
            {
                ready.insert(name, Arc::clone(former));
                continue;
            }
            match Policy::compile(name.clone(), generation, spec) {
                Ok(policy) => {
                    ready.insert(name, Arc::new(policy));
                }
                Err(refusal) => {
                    faults.push(refusal.of(name.clone(), generation, former.is_some()));
                    former.map(|former| ready.insert(name, Arc::clone(former)));
                }
            }
        }
        (Self::indexed(ready.into_values().collect()), faults)
    }

    fn indexed(policies: Vec<Arc<Policy>>) -> Self {
        let mut set = Self { policies, ..Self::default() };
        for (position, policy) in set.policies.iter().enumerate() {
            let Matcher { operations, .. } = &policy.matcher;
            for operation in operations {
                match policy.matcher.kind_names() {
                    Some(kinds) => {
                        for kind in kinds {
                            set.by_kind.entry((*operation, kind.to_owned())).or_default().push(position);
                        }
                    }
                    None => set.any_kind.entry(*operation).or_default().push(position),
                }
            }
        }
        set
    }

    /// Positions of the policies that may match by kind and operation, in order.
    pub(crate) fn candidates(&self, review: &Review) -> Vec<usize> {
        let exact = self.by_kind.get(&(review.operation, review.kind.kind.clone()));
        let any = self.any_kind.get(&review.operation);
        let mut positions: Vec<_> = exact.into_iter().chain(any).flatten().copied().collect();
        positions.sort_unstable();
        positions
    }

    pub(crate) fn at(&self, position: usize) -> &Policy {
        &self.policies[position]
    }

    /// The policy of that name.
    #[must_use]
    pub fn get(&self, name: &PolicyName) -> Option<&Arc<Policy>> {
        let found = self.policies.binary_search_by(|policy| policy.name.cmp(name)).ok()?;
        self.policies.get(found)
    }

    /// All policies, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(AsRef::as_ref)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether nothing judges.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}
