//! The complete list of things that can wake the appliance's owner task.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{Name, NodeName};
use crate::record::Record;
use crate::snapshot::{Key, Kind, Object};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The Kubernetes API said something.
    Observed(Change),
    /// A component told us something; already durable in its spool.
    Reported {
        /// Who.
        from: Component,
        /// What.
        report: Report,
    },
    /// A component's link began or ended.
    Linked {
        /// Whose.
        component: Component,
        /// Version of its binary.
        version: String,
        /// Whether it is there now.
        up: bool,
    },
    /// Every ready webhook pod was tried by the canary: all of one look, none when there is none.
    Probed(Vec<Probe>),
    /// A component said what became of a resource.
    Acknowledged {
        /// Who.
        from: Component,
        /// Which resource.
        name: String,
        /// Which version of it.
        version: u64,
        /// Why it is not in force; `None` when it is.
        error: Option<String>,
    },
    /// We ourselves did or refused something worth remembering.
    Happened(Record),
    /// Time passed.
    Tick(Timestamp),
}

/// A watch event.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Added or changed.
    Applied(Object),
    /// Deleted.
    Deleted(Key),
    /// The whole list, after a watch began or was lost.
    Reset(Kind, Vec<Object>),
    /// The watch is behind since this instant; `None` when it has caught up.
    Stale(Kind, Option<Timestamp>),
}

/// One of our components, as it proved itself on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Component {
    /// Which mode it runs.
    pub role: Role,
    /// Its pod.
    pub pod: String,
    /// The node its pod runs on.
    pub node: NodeName,
}

/// The modes of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Snapshot, store, CA.
    Controller,
    /// One per node: sensor, workload API.
    Agent,
    /// Admission.
    Webhook,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Controller => "controller",
            Self::Agent => "agent",
            Self::Webhook => "webhook",
        })
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.role {
            Role::Agent => write!(f, "outis:agent:{}", self.node),
            role => write!(f, "outis:{role}:{}", self.pod),
        }
    }
}

/// What an agent or webhook reports upward. Numbered per sender; see `wire`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Something to remember.
    Record(Record),
    /// Reports that could not be kept, counted exactly.
    Lost {
        /// First sequence number of the gap.
        from: u64,
        /// Last sequence number of the gap.
        to: u64,
        /// Why.
        why: String,
    },
    /// How the component is.
    Health(Health),
}

/// The state of one component.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Health {
    /// Version of the binary.
    pub version: String,
    /// Each protection and whether it is in force, with the reason when it is not.
    pub protections: Vec<Protection>,
    /// What the machine allows, for `outis doctor`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Counters: losses, drops, depths of queues.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// Something a component found out about where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// What it is about: `btf`, `tracefs`, `cgroups`.
    pub name: String,
    /// How it bears on us.
    pub standing: Standing,
    /// What was found, and what that means.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a finding bears on us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should be.
    Fine,
    /// It works, with a limit the text names.
    Limited,
    /// Nobody could tell.
    Unknown,
    /// It does not work.
    Missing,
}

/// One protection of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    /// `detection`, `identity`, `admission`.
    pub name: String,
    /// Whether it is in force.
    pub active: bool,
    /// One sentence: what is in force, or what is missing and what to do.
    pub note: String,
}

/// What the canary found at one address of a webhook pod. Our NetworkPolicy allows one of its ports and does not
/// allow the other; nothing else differs between the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The pod's node.
    pub node: NodeName,
    /// The pod.
    pub pod: Name,
    /// Where.
    pub address: IpAddr,
    /// The port the policy allows.
    pub open: Reach,
    /// The port it does not allow.
    pub denied: Reach,
}

/// Whether a port answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// With our own line.
    Answered,
    /// Not, or with something else; the text says which.
    Silent(String),
}
