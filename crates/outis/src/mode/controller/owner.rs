//! The one task that owns what the controller knows. Inputs are folded in; what is to be done comes out as data.
//! Pure: time and chance are arguments.

use std::collections::BTreeMap;

use outis_model::alert::Priority;
use outis_model::effect::Announcement;
use outis_model::input::{Change, Component, Health, Input, Probe, Report, Role};
use outis_model::record::{RecordKind, Subject};
use outis_model::snapshot::{Kind, Snapshot};
use outis_model::{Effect, NodeName, Record, RecordId, Timestamp};
use serde_json::json;

use crate::network::{Changed, Enforcement, Network};

/// How long a node may be without its agent before it is told.
pub(crate) const PATIENCE: i64 = 30;
/// Components that are away and remembered at most.
const REMEMBERED: usize = 4096;

/// Resources of one component that are remembered at most.
const RESOURCES: usize = 64;

/// What the controller knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    /// The cluster.
    pub(crate) snapshot: Snapshot,
    /// Kinds whose whole list was seen.
    pub(crate) seen: BTreeMap<Kind, ()>,
    /// Kinds whose watch is behind, since when.
    pub(crate) stale: BTreeMap<Kind, Timestamp>,
    /// Components that linked.
    pub(crate) components: BTreeMap<Component, Linked>,
    /// Nodes without an agent, since when, and whether it was told.
    pub(crate) uncovered: BTreeMap<NodeName, (Timestamp, bool)>,
    /// Who enforces NetworkPolicy, by node.
    pub(crate) network: Network,
    /// The newest time we heard of.
    pub(crate) now: Timestamp,
}

/// One component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Linked {
    pub(crate) version: String,
    pub(crate) up: bool,
    pub(crate) since: Timestamp,
    pub(crate) health: Health,
    /// Resources it was sent, by name. What it took over it keeps when the link ends, and a new process reads what
    /// was published before that: nothing here is ever taken back.
    pub(crate) holds: BTreeMap<String, Holding>,
}

/// A resource at a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The newest version it took over, and when it said so.
    pub(crate) version: Option<(u64, Timestamp)>,
    /// Why it did not take over what it was sent last.
    pub(crate) error: Option<String>,
}

/// What the owner may use beside its arguments.
pub(crate) struct Fresh {
    pub(crate) now: Timestamp,
    pub(crate) random: u128,
}

impl Fresh {
    fn id(&mut self) -> RecordId {
        self.random = self.random.wrapping_add(1);
        RecordId::new(self.now, self.random)
    }
}

impl World {
    /// Whether every kind was seen whole.
    pub(crate) fn synced(&self) -> bool {
        [Kind::Pod, Kind::Namespace, Kind::Node].iter().all(|kind| self.seen.contains_key(kind))
    }

    /// Whether an agent watches a node now.
    pub(crate) fn covered(&self, node: &NodeName) -> bool {
        self.components.iter().any(|(one, state)| one.role == Role::Agent && &one.node == node && state.up)
    }

    /// Takes an input in; gives what is to be done.
    pub(crate) fn fold(&mut self, input: Input, mut fresh: Fresh) -> Vec<Effect> {
        self.now = self.now.max(fresh.now);
        match input {
            Input::Observed(change) => {
                self.observe(change);
                vec![]
            }
            Input::Reported { from, report } => self.report(&from, report),
            Input::Linked { component, version, up } => self.linked(component, version, up, &mut fresh),
            Input::Probed(probes) => self.probed(&probes, &mut fresh),
            Input::Acknowledged { from, name, version, error } => {
                self.acknowledged(&from, name, version, error, fresh.now);
                vec![]
            }
            Input::Happened(record) => happened(record),
            Input::Tick(now) => self.tick(now, &mut fresh),
        }
    }

    fn observe(&mut self, change: Change) {
        match change {
            Change::Applied(object) => self.snapshot.apply(object),
            Change::Deleted(key) => self.snapshot.delete(&key),
            Change::Reset(kind, objects) => {
                self.seen.insert(kind, ());
                self.snapshot.reset(kind, objects);
            }
            Change::Stale(kind, Some(since)) => drop(self.stale.insert(kind, since)),
            Change::Stale(kind, None) => drop(self.stale.remove(&kind)),
        }
    }

    fn report(&mut self, from: &Component, report: Report) -> Vec<Effect> {
        match report {
            // It is in the log already: the link acknowledges nothing before that.
            Report::Record(record) => announced(&record).into_iter().collect(),
            Report::Lost { .. } => vec![],
            Report::Health(health) => {
                if let Some(state) = self.components.get_mut(from) {
                    state.health = health;
                }
                vec![]
            }
        }
    }

    fn acknowledged(
        &mut self,
        from: &Component,
        name: String,
        version: u64,
        error: Option<String>,
        now: Timestamp,
    ) {
        let Some(state) = self.components.get_mut(from) else { return };
        if state.holds.len() >= RESOURCES && !state.holds.contains_key(&name) {
            return;
        }
        let holding = state.holds.entry(name).or_default();
        let newer = holding.version.is_none_or(|(held, _)| version > held);
        match error {
            Some(error) => holding.error = Some(error),
            None => {
                holding.error = None;
                if newer {
                    holding.version = Some((version, now));
                }
            }
        }
    }

    fn linked(&mut self, component: Component, version: String, up: bool, fresh: &mut Fresh) -> Vec<Effect> {
        let state = self.components.entry(component.clone()).or_default();
        let changed = state.up != up || state.version != version;
        if changed {
            let (health, holds) = (std::mem::take(&mut state.health), std::mem::take(&mut state.holds));
            *state = Linked { version, up, since: fresh.now, health, holds };
        }
        self.forget();
        if !changed {
            return vec![];
        }
        let word = if up { "linked" } else { "away" };
        let priority = if up { Priority::Informational } else { Priority::Notice };
        let text = format!("{component} on {} {word}", component.node);
        vec![Effect::Append(about(&component, text, priority, fresh))]
    }

    fn probed(&mut self, probes: &[Probe], fresh: &mut Fresh) -> Vec<Effect> {
        let nodes: Vec<NodeName> = self.snapshot.nodes().map(|node| node.name.clone()).collect();
        let changed = self.network.look(&nodes, probes, fresh.now);
        changed.into_iter().map(|change| Effect::Append(enforcement(change, fresh))).collect()
    }

    /// Pods come and go for ever; who is away and has no pod is forgotten.
    fn forget(&mut self) {
        if self.components.len() <= REMEMBERED {
            return;
        }
        let oldest =
            self.components.iter().filter(|(_, state)| !state.up).min_by_key(|(_, state)| state.since);
        if let Some(oldest) = oldest.map(|(component, _)| component.clone()) {
            self.components.remove(&oldest);
        }
    }

    fn tick(&mut self, now: Timestamp, fresh: &mut Fresh) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.gone_pods(now);
        if !self.synced() {
            return effects;
        }
        let nodes: Vec<NodeName> = self.snapshot.nodes().map(|node| node.name.clone()).collect();
        self.uncovered.retain(|name, _| nodes.contains(name));
        for node in nodes {
            if self.covered(&node) {
                if let Some((_, true)) = self.uncovered.remove(&node) {
                    effects.push(Effect::Append(coverage(
                        &node,
                        "is covered again".into(),
                        Priority::Notice,
                        fresh,
                    )));
                }
                continue;
            }
            let (since, told) = self.uncovered.entry(node.clone()).or_insert((now, false));
            if !*told && now.as_second() - since.as_second() >= PATIENCE {
                *told = true;
                let text = format!("is not covered: no agent has been linked for {PATIENCE} s");
                effects.push(Effect::Append(coverage(&node, text, Priority::Warning, fresh)));
            }
        }
        effects
    }

    /// A component that is away and whose pod is gone will not come back under this name.
    fn gone_pods(&mut self, now: Timestamp) {
        if !self.seen.contains_key(&Kind::Pod) {
            return;
        }
        let pods: std::collections::BTreeSet<&str> =
            self.snapshot.pods().map(|pod| pod.name.as_str()).collect();
        self.components.retain(|component, state| {
            state.up
                || pods.contains(component.pod.as_str())
                || now.as_second() - state.since.as_second() < PATIENCE
        });
    }
}

fn happened(record: Record) -> Vec<Effect> {
    let announcement = announced(&record);
    std::iter::once(Effect::Append(record)).chain(announcement).collect()
}

/// An Event for what people look for beside its object.
fn announced(record: &Record) -> Option<Effect> {
    let loud = matches!(record.kind, RecordKind::Alert | RecordKind::Admission | RecordKind::Refusal);
    let named = record.subject.namespace.is_some() && record.subject.name.is_some();
    if !loud || !named || record.priority < Priority::Notice {
        return None;
    }
    let reason = match record.kind {
        RecordKind::Alert => "Alert",
        RecordKind::Admission => "PolicyViolation",
        _ => "Refused",
    };
    Some(Effect::Announce(Announcement {
        record: record.id,
        subject: record.subject.clone(),
        reason: reason.into(),
        text: format!("{} (outis why {})", record.summary, record.id),
        priority: record.priority,
    }))
}

fn about(component: &Component, summary: String, priority: Priority, fresh: &mut Fresh) -> Record {
    let mut record = record(of_node(&component.node), summary, priority, fresh);
    record.actor = component.to_string();
    record.fields.insert("pod".into(), json!(component.pod));
    record
}

fn coverage(node: &NodeName, text: String, priority: Priority, fresh: &mut Fresh) -> Record {
    record(of_node(node), format!("node {node} {text}"), priority, fresh)
}

fn of_node(node: &NodeName) -> Subject {
    Subject {
        kind: "Node".into(),
        name: node.as_str().parse().ok(),
        namespace: None,
        node: Some(node.clone()),
    }
}

/// A verdict of the canary that changed. That something which was enforced is not any more is what somebody has to
/// look at.
fn enforcement(change: Changed, fresh: &mut Fresh) -> Record {
    let outcome = change.verdict.outcome;
    let (text, priority) = match (outcome, change.proved) {
        (Enforcement::Enforced, _) => ("NetworkPolicy is enforced", Priority::Notice),
        (Enforcement::Partly, Some(Enforcement::Enforced)) => {
            ("NetworkPolicy is enforced only in part now", Priority::Warning)
        }
        (Enforcement::Partly, _) => ("NetworkPolicy is enforced only in part", Priority::Notice),
        (Enforcement::Nobody, Some(Enforcement::Enforced | Enforcement::Partly)) => {
            ("nobody enforces NetworkPolicy any more", Priority::Warning)
        }
        (Enforcement::Nobody, _) => ("nobody enforces NetworkPolicy", Priority::Notice),
        (Enforcement::Unknown, _) => ("whether NetworkPolicy is enforced cannot be told", Priority::Notice),
        (Enforcement::NotProbed, _) => {
            ("whether NetworkPolicy is enforced is not probed any more", Priority::Informational)
        }
    };
    let summary = format!("node {}: {text}", change.node);
    let mut record = record(of_node(&change.node), summary, priority, fresh);
    record.because = change.verdict.because;
    record.fields.insert("enforcement".into(), json!(outcome));
    record.fields.insert("provedBefore".into(), json!(change.proved));
    record
}

fn record(subject: Subject, summary: String, priority: Priority, fresh: &mut Fresh) -> Record {
    Record {
        id: fresh.id(),
        time: fresh.now,
        kind: RecordKind::Component,
        actor: "outis:controller".into(),
        subject,
        summary,
        verdict: None,
        mode: None,
        priority,
        because: vec![],
        fields: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
