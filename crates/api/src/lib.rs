#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod admission_policy;

pub use admission_policy::{AdmissionPolicy, AdmissionPolicySpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The definitions of every kind a running component acts on.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![AdmissionPolicy::crd()]
}

#[cfg(test)]
mod tests {
    /// An API server takes only structural schemas: a type wherever there is a place, no `$ref`.
    #[test]
    fn schemas_are_structural_and_bounded() {
        for crd in super::crds() {
            let text = serde_json::to_string(&crd).expect("JSON");
            assert!(!text.contains("$ref"), "{text}");
            assert!(text.contains("x-kubernetes-validations"), "{text}");
            assert!(
                crd.spec.versions.iter().all(|version| version.subresources.is_some()),
                "status is a subresource"
            );
        }
    }
}
