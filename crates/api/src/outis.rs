//! `Outis`: the settings of the whole appliance. One object, named `cluster`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one object's name.
pub const NAME: &str = "cluster";

/// Settings of the appliance. Without the object every default applies.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "outis.dev",
    version = "v1alpha1",
    kind = "Outis",
    plural = "outises",
    status = "OutisStatus",
    printcolumn = r#"{"name":"Trust Domain","type":"string","jsonPath":".spec.trustDomain"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct OutisSpec {
    /// Trust domain of every SPIFFE ID. Fixed once given: changing it would make every identity a foreign one.
    #[schemars(regex(pattern = r"^[a-z0-9._-]{1,255}$"), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "the trust domain cannot be changed; uninstall with --purge and install anew"}
    ]))]
    pub trust_domain: TrustDomainName,
    /// Workload identities.
    pub identity: Identity,
    /// Admission.
    pub admission: Admission,
    /// How long records are kept.
    pub retention: Retention,
}

/// A trust domain's name; `cluster.local` unless given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct TrustDomainName(pub String);

impl Default for TrustDomainName {
    fn default() -> Self {
        Self("cluster.local".into())
    }
}

/// Workload identities.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Identity {
    /// Lifetime of an SVID in seconds, a day at most; renewed at half of it. Default: 14400 (4 hours).
    #[schemars(range(min = 60, max = 86_400))]
    pub svid_seconds: i64,
}

impl Default for Identity {
    fn default() -> Self {
        Self { svid_seconds: 4 * 3600 }
    }
}

/// Admission.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Admission {
    /// Namespaces the webhook is never asked about, beside `kube-system`, `kube-public`, `kube-node-lease` and our own.
    #[schemars(length(max = 256), inner(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")))]
    pub excluded_namespaces: Vec<String>,
    /// Seconds without any ready webhook after which what policies refuse with `failurePolicy: Fail` goes on unjudged,
    /// until one is ready again. Default: 0, never.
    #[schemars(range(min = 0, max = 86_400))]
    pub watchdog_seconds: i64,
}

/// How long records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// Days. Default: 30.
    #[schemars(range(min = 1, max = 3650))]
    pub days: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30 }
    }
}

/// How the appliance is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutisStatus {
    /// `Accepted`, `Ready`.
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}
