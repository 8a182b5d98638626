//! `DetectionRules`: rules in Falco's language beside our own pack, and which of all rules are on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Detection rules. Several objects are read in order of their names, after our own pack.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "outis.dev",
    version = "v1alpha1",
    kind = "DetectionRules",
    plural = "detectionrules",
    shortname = "detrules",
    status = "DetectionRulesStatus",
    printcolumn = r#"{"name":"Rules","type":"integer","jsonPath":".status.loaded"}"#,
    printcolumn = r#"{"name":"Not active","type":"integer","jsonPath":".status.notActive"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Accepted\")].message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.rules) || has(self.disable) || has(self.enable)",
     "message": "give rules, or say with disable or enable which rules are on"}
]))]
pub struct DetectionRulesSpec {
    /// A rules file in Falco's language: lists, macros, rules, overrides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 524_288))]
    pub rules: Option<String>,
    /// Rules switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<Pick>,
    /// Rules switched on, after `disable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable: Option<Pick>,
}

/// Which rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pick {
    /// By name; `*` matches any run of characters.
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub rules: Vec<String>,
    /// By tag.
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub tags: Vec<String>,
}

/// What became of the rules.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DetectionRulesStatus {
    /// Rules in this object that are in force.
    pub loaded: Option<i64>,
    /// Rules in this object that wait for an event or field we do not have yet.
    pub not_active: Option<i64>,
    /// `Accepted`.
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}
