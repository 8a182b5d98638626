#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod admission_policy;
pub mod convert;
pub mod detection_rules;
pub mod outis;

pub use admission_policy::{AdmissionPolicy, AdmissionPolicySpec};
pub use detection_rules::{DetectionRules, DetectionRulesSpec};
pub use outis::{Outis, OutisSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, ValidationRule,
};
use kube::CustomResourceExt;

/// The definitions of every kind a running component acts on.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![AdmissionPolicy::crd(), DetectionRules::crd(), only_one(Outis::crd())]
}

/// A rule about the object's name belongs to the root of the schema, which the derive does not reach.
fn only_one(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let roots = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for root in roots.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        root.x_kubernetes_validations = Some(vec![ValidationRule {
            rule: format!("self.metadata.name == '{}'", outis::NAME),
            message: Some(format!("there is one Outis object, and its name is {}", outis::NAME)),
            ..ValidationRule::default()
        }]);
    }
    crd
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
