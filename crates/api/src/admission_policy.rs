//! `AdmissionPolicy`: what may be created, changed and deleted.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One admission policy: what it matches, how it judges, what is done with its verdict.
#[derive(CustomResource, Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "outis.dev",
    version = "v1alpha1",
    kind = "AdmissionPolicy",
    plural = "admissionpolicies",
    shortname = "admpol",
    status = "AdmissionPolicyStatus",
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".status.engine"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Accepted\")].message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.podSecurity), has(self.rego), has(self.cel)].filter(x, x).size() == 1",
     "message": "exactly one of podSecurity, rego and cel must be given"}
]))]
pub struct AdmissionPolicySpec {
    /// What is done with the verdict. Default: observe.
    #[serde(default)]
    pub mode: PolicyMode,
    /// Which requests are judged. Default: every Pod and pod template that is created or updated.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// Whether an enforced policy refuses (`Fail`) or admits (`Ignore`) while no webhook answers.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Judge by a level of the Pod Security Standards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,
    /// Judge by Rego: `violation[{"msg": ...}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rego: Option<Rego>,
    /// Judge by CEL expressions that must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cel: Option<Cel>,
}

impl AdmissionPolicySpec {
    /// Which engine judges, by the name of its part; none in a spec its schema would refuse.
    #[must_use]
    pub fn engine(&self) -> Option<&'static str> {
        let parts = [
            ("podSecurity", self.pod_security.is_some()),
            ("rego", self.rego.is_some()),
            ("cel", self.cel.is_some()),
        ];
        parts.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}

/// What is done with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// Record it; change nothing.
    #[default]
    Observe,
    /// Record it and warn the user.
    Warn,
    /// Record it and refuse.
    Enforce,
}

impl From<PolicyMode> for outis_model::Mode {
    fn from(mode: PolicyMode) -> Self {
        match mode {
            PolicyMode::Observe => Self::Observe,
            PolicyMode::Warn => Self::Warn,
            PolicyMode::Enforce => Self::Enforce,
        }
    }
}

/// What the API server does while no webhook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize, JsonSchema)]
pub enum FailurePolicy {
    /// Admit; judged again within 60 s of our return.
    #[default]
    Ignore,
    /// Refuse.
    Fail,
}

/// Which requests a policy judges. Every part that is given must fit.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// Kinds; a request fits when any entry does. Default: Pod and the built-in kinds with a pod template.
    #[schemars(length(max = 32))]
    pub kinds: Vec<Kinds>,
    /// Operations. Default: CREATE and UPDATE.
    #[schemars(length(max = 4))]
    pub operations: Vec<OperationName>,
    /// Only these namespaces; `*` matches any run of characters. Default: all.
    #[schemars(length(max = 256))]
    pub namespaces: Vec<String>,
    /// Not these namespaces; `*` matches any run of characters.
    #[schemars(length(max = 256))]
    pub excluded_namespaces: Vec<String>,
    /// Only namespaces with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Only objects with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
}

/// API groups and kinds; `*` stands for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kinds {
    /// API groups; the core group is the empty text. Default: all.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub api_groups: Vec<String>,
    /// Kinds.
    #[schemars(length(min = 1, max = 32))]
    pub kinds: Vec<String>,
}

/// An operation by its admission name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationName {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A deleted object.
    Delete,
    /// exec, attach, port-forward, proxy.
    Connect,
}

/// A level of the Pod Security Standards.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// Which level.
    pub level: PodSecurityLevel,
    /// Version of the standard: `latest` or `v1.<minor>`. Default: latest.
    #[serde(default = "latest")]
    #[schemars(regex(pattern = r"^(latest|v1\.[0-9]{1,3})$"))]
    pub version: String,
}

fn latest() -> String {
    "latest".into()
}

/// The levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurityLevel {
    /// No restriction.
    Privileged,
    /// No known way to more privilege.
    Baseline,
    /// Hardened.
    Restricted,
}

/// A Rego policy.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rego {
    /// The module; must define `violation`.
    #[schemars(length(min = 1, max = 131_072))]
    pub source: String,
    /// Library modules under `package lib.*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub libs: Vec<String>,
    /// Language version of all modules. Default: v1.
    #[serde(default)]
    pub version: RegoVersion,
    /// `input.parameters`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// Language version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegoVersion {
    /// OPA 1.0 syntax.
    #[default]
    V1,
    /// The older syntax, without `if` and `contains`.
    V0,
}

/// CEL expressions, as in a ValidatingAdmissionPolicy.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cel {
    /// Named expressions, usable as `variables.<name>`; evaluated when used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub variables: Vec<Variable>,
    /// Each must be true.
    #[schemars(length(min = 1, max = 64))]
    pub validations: Vec<Validation>,
    /// `params`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// A named expression.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Variable {
    /// A CEL identifier.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"))]
    pub name: String,
    /// The expression.
    #[schemars(length(min = 1, max = 16_384))]
    pub expression: String,
}

/// An expression that must be true.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// The expression.
    #[schemars(length(min = 1, max = 16_384))]
    pub expression: String,
    /// What to say when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// An expression that makes that text; wins over `message` when it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub message_expression: Option<String>,
}

/// What became of the policy.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdmissionPolicyStatus {
    /// Which engine judges.
    pub engine: Option<String>,
    /// `Accepted`, `Enforced`.
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
