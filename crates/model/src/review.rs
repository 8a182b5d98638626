//! An admission request and what was ruled about it, independent of the JSON envelope
//! (`admission.k8s.io/v1`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decision::{Mode, Reason, Verdict};
use crate::name::PolicyName;

/// What the request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A deleted object.
    Delete,
    /// A connection: exec, attach, port-forward, proxy.
    Connect,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        })
    }
}

impl FromStr for Operation {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "CREATE" => Ok(Self::Create),
            "UPDATE" => Ok(Self::Update),
            "DELETE" => Ok(Self::Delete),
            "CONNECT" => Ok(Self::Connect),
            other => Err(format!("operation {other:?} is none of CREATE, UPDATE, DELETE, CONNECT")),
        }
    }
}

/// Group, version and kind; the group is empty for the core group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupVersionKind {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// Group, version and resource (plural).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupVersionResource {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural, lower case.
    pub resource: String,
}

/// Who asks, as the API server authenticated them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// User name; empty offline.
    pub username: String,
    /// UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whatever the authenticator added.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// One admission request. Objects are shared, never copied, between policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The request's uid; empty offline.
    pub uid: String,
    /// Kind of the object.
    pub kind: GroupVersionKind,
    /// Resource of the request.
    pub resource: GroupVersionResource,
    /// Subresource, such as `exec`; empty for none.
    pub sub_resource: String,
    /// Name; empty when the server will generate one.
    pub name: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// What is wanted.
    pub operation: Operation,
    /// By whom.
    pub user: User,
    /// The new object; `Null` on DELETE.
    pub object: Arc<Value>,
    /// The former object; `Null` on CREATE.
    pub old_object: Arc<Value>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The operation's options.
    pub options: Value,
    /// The Namespace object; `Null` when not known (offline without one, or not in the snapshot yet).
    pub namespace_object: Arc<Value>,
}

/// One policy that speaks against a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which policy.
    pub policy: PolicyName,
    /// Its mode: only `Enforce` refuses.
    pub mode: Mode,
    /// `Deny`, or `Unknown` when the policy could not be evaluated.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// What all matching policies together say about a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ruling {
    /// Everything that speaks against it, in policy order. Empty: nothing does.
    pub findings: Vec<Finding>,
    /// How many policies were evaluated.
    pub evaluated: u32,
}

impl Ruling {
    /// Whether the request must be refused: an enforcing policy denies, or could not tell.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.findings.iter().any(|finding| finding.mode == Mode::Enforce)
    }

    /// The weightiest verdict, whatever the mode.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Allow)
    }
}
