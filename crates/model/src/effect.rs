//! The complete list of things the appliance can do. Data; shells interpret it.

use serde_json::Value;

use crate::alert::Priority;
use crate::input::Component;
use crate::name::{Name, Namespace};
use crate::record::{Record, RecordId, Subject};

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append to the record log (store).
    Append(Record),
    /// Create or count up a Kubernetes Event (cluster).
    Announce(Announcement),
    /// Write the status of one of our objects (cluster).
    Status(StatusPatch),
    /// Send a versioned resource to a component (wire).
    Push {
        /// To whom.
        to: Component,
        /// What.
        resource: Resource,
    },
    /// Write one line where people collect alerts (export).
    Emit(Value),
}

/// A Kubernetes Event about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The record it tells of; announced twice, it is one Event.
    pub record: RecordId,
    /// About which object.
    pub subject: Subject,
    /// CamelCase reason.
    pub reason: String,
    /// The sentence, 1024 characters at most.
    pub text: String,
    /// `Warning` from `Warning` upward, else `Normal`.
    pub priority: Priority,
}

/// New status of one of our objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPatch {
    /// Kind, such as `AdmissionPolicy`.
    pub kind: String,
    /// Namespace, for namespaced kinds.
    pub namespace: Option<Namespace>,
    /// Name.
    pub name: Name,
    /// `metadata.generation` this status speaks of.
    pub generation: i64,
    /// Conditions to set.
    pub conditions: Vec<Condition>,
}

/// A status condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Accepted`, `Ready`, `Enforced`.
    pub kind: &'static str,
    /// True, false or, when nobody can tell, unknown.
    pub holds: Option<bool>,
    /// CamelCase reason.
    pub reason: String,
    /// One sentence.
    pub text: String,
}

/// A versioned thing that components keep and acknowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `trust-bundle`, `detection-rules`, ...
    pub name: String,
    /// Rises by one with each change.
    pub version: u64,
    /// JSON body.
    pub body: Vec<u8>,
}
