//! One line of the append-only record log: everything that was decided, seen or changed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Priority;
use crate::decision::{Mode, Reason, Verdict};
use crate::name::{Name, Namespace, NodeName};

/// The id people pass to `outis why`: a ULID, 26 characters, sortable by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(ulid::Ulid);

/// A text that is not a record id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: expected 26 characters of 0-9 and A-Z, as printed by `outis events`")]
pub struct RecordIdError(String);

impl RecordId {
    /// An id made of a time and a random number the caller drew.
    #[must_use]
    pub fn new(now: Timestamp, random: u128) -> Self {
        let ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self(ulid::Ulid::from_parts(ms, random))
    }

    /// Big-endian bytes: the order of ids is the order of these bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }
}

impl FromStr for RecordId {
    type Err = RecordIdError;
    fn from_str(text: &str) -> Result<Self, RecordIdError> {
        ulid::Ulid::from_string(text).map(Self).map_err(|_| RecordIdError(text.chars().take(64).collect()))
    }
}
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl TryFrom<String> for RecordId {
    type Error = RecordIdError;
    fn try_from(text: String) -> Result<Self, RecordIdError> {
        text.parse()
    }
}
impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.to_string()
    }
}

/// What a record is about. Closed: a new kind of happening is a new variant here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordKind {
    /// An admission request was judged.
    Admission,
    /// A detection rule matched.
    Alert,
    /// A certificate was issued.
    Issuance,
    /// A request was refused at one of our own doors: attestation, enrolment, a foreign certificate.
    Refusal,
    /// Something an administrator configured was taken over or rejected.
    Configuration,
    /// A component appeared, went away, or changed its state.
    Component,
    /// Something could not be kept; the count is in the fields.
    Loss,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admission => "admission",
            Self::Alert => "alert",
            Self::Issuance => "issuance",
            Self::Refusal => "refusal",
            Self::Configuration => "configuration",
            Self::Component => "component",
            Self::Loss => "loss",
        })
    }
}

/// What a record speaks of. Who may read a record is decided by `namespace`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The namespace, for anything namespaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Kind of the object: `Pod`, `Node`, `AdmissionPolicy`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name, or its generateName prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The node it was seen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind.is_empty() { "-" } else { &self.kind };
        match (&self.namespace, &self.name) {
            (Some(ns), Some(name)) => write!(f, "{kind} {ns}/{name}"),
            (None, Some(name)) => write!(f, "{kind} {name}"),
            (Some(ns), None) => write!(f, "{kind} in {ns}"),
            (None, None) => f.write_str(kind),
        }
    }
}

/// One record. Everything in it has passed redaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id, drawn where the thing happened, so it survives re-delivery.
    pub id: RecordId,
    /// When it happened.
    pub time: Timestamp,
    /// What it is about.
    pub kind: RecordKind,
    /// Who caused it: a Kubernetes user, or one of our components as `outis:agent:<node>`.
    pub actor: String,
    /// What it speaks of.
    pub subject: Subject,
    /// One line for a list.
    pub summary: String,
    /// The verdict, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The mode under which it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How urgent, in the field's scale.
    pub priority: Priority,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Reason>,
    /// Output fields and whatever else belongs to this kind, ordered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// A record as the log holds it: numbered and chained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logged {
    /// Position in the log, from 0, without gaps.
    pub seq: u64,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_sort_by_time_and_read_back(a in 0i64..1 << 40, b in 0i64..1 << 40, random: u128) {
            let id = |ms| RecordId::new(Timestamp::from_millisecond(ms).expect("in range"), random);
            prop_assert_eq!(id(a).to_string().parse::<RecordId>().expect("printed"), id(a));
            prop_assert_eq!(a.cmp(&b), id(a).to_string().cmp(&id(b).to_string()));
            prop_assert_eq!(a.cmp(&b), id(a).to_bytes().cmp(&id(b).to_bytes()));
        }
    }

    #[test]
    fn a_bad_id_says_where_to_find_one() {
        let told = "zz".parse::<RecordId>().expect_err("too short").to_string();
        assert!(told.contains("outis events"), "{told}");
    }

    #[test]
    fn subjects_read_like_kubectl() {
        let subject = Subject {
            namespace: Some("shop".parse().expect("ns")),
            kind: "Pod".into(),
            name: Some("web-1".parse().expect("name")),
            node: None,
        };
        assert_eq!(subject.to_string(), "Pod shop/web-1");
        assert_eq!(Subject::default().to_string(), "-");
    }
}
