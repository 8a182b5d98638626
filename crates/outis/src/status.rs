//! The state of the whole appliance, as the controller tells it and the command line shows it.

use std::collections::BTreeMap;

use outis_identity::rotation::Phase;
use outis_model::input::Protection;
use outis_model::{RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::network::NodeNetwork;

/// Everything `outis status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    /// Version of the controller.
    pub(crate) version: String,
    /// Trust domain.
    pub(crate) trust_domain: String,
    /// Our roots, and how far the replacement of one is.
    pub(crate) identity: Option<RotationState>,
    /// When the controller started.
    pub(crate) since: Option<Timestamp>,
    /// Agents and webhooks that ever linked, those away included.
    pub(crate) components: Vec<ComponentState>,
    /// Every node and whether an agent watches it.
    pub(crate) nodes: Vec<NodeState>,
    /// Who enforces NetworkPolicy on each node, as the canary proved it. Not a protection of ours.
    pub(crate) network: Vec<NodeNetwork>,
    /// The record log.
    pub(crate) store: StoreState,
    /// What the controller itself keeps up.
    pub(crate) protections: Vec<Protection>,
    /// Watches that are behind, with since when.
    pub(crate) stale: Vec<String>,
    /// Objects that were admitted while nobody judged, and that policies speak against.
    pub(crate) unjudged: Unjudged,
    /// What was turned away at the link, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Counters.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// Our roots, and how far the replacement of one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotationState {
    pub(crate) phase: Phase,
    /// Version of the trust bundle.
    pub(crate) bundle: u64,
    /// How many roots it holds.
    pub(crate) roots: usize,
    /// The one that signs.
    pub(crate) root: String,
    pub(crate) root_ends: Timestamp,
    /// Who asked for the last rotation; empty when there was none.
    pub(crate) asked_by: String,
    pub(crate) since: Timestamp,
    /// What it waits for.
    pub(crate) waiting: Vec<String>,
}

impl RotationState {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { phase, bundle, root, root_ends, since, asked_by, .. } = self;
        match phase {
            Phase::Steady => format!("root {root} until {root_ends}, bundle {bundle}"),
            _ => format!(
                "root {root}, bundle {bundle} with {} roots; a new root, asked for by {asked_by}: {phase} since {since}",
                self.roots
            ),
        }
    }
}

/// One agent or webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComponentState {
    pub(crate) role: String,
    pub(crate) pod: String,
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) up: bool,
    /// Since when it is up, or away.
    pub(crate) since: Timestamp,
    pub(crate) protections: Vec<Protection>,
    #[serde(default)]
    pub(crate) facts: Vec<outis_model::input::Fact>,
    pub(crate) counters: BTreeMap<String, u64>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeState {
    pub(crate) name: String,
    pub(crate) covered: bool,
    pub(crate) note: String,
}

/// Objects admitted while nobody judged. They are no fault of the appliance any more, once it judges again; what to
/// do about each is somebody's decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Unjudged {
    /// How many there are.
    pub(crate) count: u64,
    /// The first of them.
    pub(crate) objects: Vec<UnjudgedObject>,
    /// What could not be looked at, and why.
    pub(crate) blind: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnjudgedObject {
    pub(crate) object: String,
    /// When it was created or changed.
    pub(crate) changed: Timestamp,
    pub(crate) record: RecordId,
    /// Policies that speak against it.
    pub(crate) policies: Vec<String>,
}

/// The record log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StoreState {
    pub(crate) records: u64,
    pub(crate) head: String,
    pub(crate) damage: Option<String>,
}

impl Status {
    /// Every configured protection that is not in force, in a sentence each. Empty: all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.covered) {
            faults.push(format!("node {} is not covered: {}", node.name, node.note));
        }
        for one in self.components.iter().filter(|one| one.up) {
            if one.protections.is_empty() {
                faults
                    .push(format!("{} {} on {} has not said what it keeps up", one.role, one.pod, one.node));
            }
            for protection in one.protections.iter().filter(|protection| !protection.active) {
                let who = format!("{} {} on {}", one.role, one.pod, one.node);
                faults.push(format!("{} of {who} is not in force: {}", protection.name, protection.note));
            }
        }
        for protection in self.protections.iter().filter(|protection| !protection.active) {
            faults.push(format!("{} is not in force: {}", protection.name, protection.note));
        }
        faults.extend(self.store.damage.iter().map(|damage| format!("the store takes no records: {damage}")));
        faults
            .extend(self.stale.iter().map(|stale| format!("the controller is behind the cluster: {stale}")));
        faults
    }
}

#[cfg(test)]
mod tests;
