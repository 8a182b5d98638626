//! Who enforces NetworkPolicy, proved and not guessed: the canary tries a port our own policy allows and one it does
//! not, and what answers is folded into a verdict per node. Pure.
//!
//! A network plugin needs a moment after a pod or a policy is new, and a packet can get lost: a verdict changes only
//! when `AGREE` looks in a row say the same. The objects in the API are deliberately not looked at.

use std::collections::BTreeMap;
use std::fmt;

use outis_model::input::{Probe, Reach, Standing};
use outis_model::{Decision, NodeName, Reason, Timestamp};
use serde::{Deserialize, Serialize};

/// Looks in a row that must agree before a verdict changes.
const AGREE: u32 = 3;
/// Nodes that a sentence names at most.
const NAMED: usize = 5;

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Enforcement {
    /// The allowed port answers everywhere, the other one nowhere.
    Enforced,
    /// The port that is not allowed answers at some addresses and at others not: in one family, for instance.
    Partly,
    /// It answers wherever the allowed one does.
    Nobody,
    /// The allowed port does not answer, so that silence of the other proves nothing.
    Unknown,
    /// No webhook pod is ready there.
    NotProbed,
}

impl Enforcement {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Enforced, Self::Partly, Self::Nobody, Self::Unknown, Self::NotProbed];

    /// Whether the canary proved something.
    pub(crate) fn proved(self) -> bool {
        matches!(self, Self::Enforced | Self::Partly | Self::Nobody)
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforced => "enforced",
            Self::Partly => "partly",
            Self::Nobody => "nobody",
            Self::Unknown => "unknown",
            Self::NotProbed => "notProbed",
        })
    }
}

/// A node, as status tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeNetwork {
    pub(crate) node: String,
    pub(crate) enforcement: Enforcement,
    /// The reason that weighs most.
    pub(crate) note: String,
    pub(crate) since: Timestamp,
}

/// The verdicts in force.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network(BTreeMap<NodeName, Held>);

#[derive(Debug, Clone)]
struct Held {
    verdict: Decision<Enforcement>,
    since: Timestamp,
    /// Another verdict that the last looks gave, and how many of them.
    next: Option<(Enforcement, u32)>,
    /// The last thing that was proved.
    proved: Option<Enforcement>,
}

/// A verdict that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) node: NodeName,
    /// What was proved last, however long ago.
    pub(crate) proved: Option<Enforcement>,
    pub(crate) verdict: Decision<Enforcement>,
}

impl Network {
    /// Takes one look at all nodes in; gives the verdicts that changed by it.
    pub(crate) fn look(&mut self, nodes: &[NodeName], probes: &[Probe], now: Timestamp) -> Vec<Changed> {
        self.0.retain(|node, _| nodes.contains(node));
        let one = |node: &NodeName| {
            let seen = judge(probes.iter().filter(|probe| &probe.node == node));
            let held = self.0.entry(node.clone()).or_insert_with(|| Held::new(now));
            held.take(node, seen, now)
        };
        nodes.iter().filter_map(one).collect()
    }

    /// Every node that was looked at.
    pub(crate) fn nodes(&self) -> Vec<NodeNetwork> {
        let one = |(node, held): (&NodeName, &Held)| NodeNetwork {
            node: node.to_string(),
            enforcement: held.verdict.outcome,
            note: held.note(),
            since: held.since,
        };
        self.0.iter().map(one).collect()
    }
}

impl Held {
    fn new(now: Timestamp) -> Self {
        Self { verdict: judge([]), since: now, next: None, proved: None }
    }

    fn take(&mut self, node: &NodeName, seen: Decision<Enforcement>, now: Timestamp) -> Option<Changed> {
        if seen.outcome == self.verdict.outcome {
            (self.verdict, self.next) = (seen, None);
            return None;
        }
        let before = self.next.filter(|(outcome, _)| *outcome == seen.outcome).map_or(0, |(_, count)| count);
        if before + 1 < AGREE {
            self.next = Some((seen.outcome, before + 1));
            return None;
        }
        let proved = self.proved;
        if seen.outcome.proved() {
            self.proved = Some(seen.outcome);
        }
        (self.verdict, self.next, self.since) = (seen.clone(), None, now);
        Some(Changed { node: node.clone(), proved, verdict: seen })
    }

    fn note(&self) -> String {
        match (self.verdict.outcome, self.next) {
            (Enforcement::NotProbed, Some((_, count))) => {
                format!("{count} of the {AGREE} looks that must agree are done")
            }
            _ => self.verdict.because.first().map(|reason| reason.text.clone()).unwrap_or_default(),
        }
    }
}

/// What one look at one node proves.
fn judge<'a>(probes: impl IntoIterator<Item = &'a Probe>) -> Decision<Enforcement> {
    let (mut passed, mut unreached, mut stopped) = (vec![], vec![], vec![]);
    for probe in probes {
        let at = format!("{} at {}", probe.pod, probe.address);
        match (&probe.open, &probe.denied) {
            (Reach::Silent(why), _) => unreached.push(Reason::new(
                "OpenPortSilent",
                format!("the allowed port of {at} did not answer: {why}"),
            )),
            (Reach::Answered, Reach::Answered) => passed.push(Reason::new(
                "DeniedPortAnswered",
                format!("a port of {at} answered that no policy allows"),
            )),
            (Reach::Answered, Reach::Silent(why)) => stopped.push(Reason::new(
                "DeniedPortSilent",
                format!("only the allowed port of {at} answered, not the other: {why}"),
            )),
        }
    }
    let outcome = match (passed.is_empty(), unreached.is_empty(), stopped.is_empty()) {
        (true, true, true) => {
            let none = Reason::new("NoWebhook", "no webhook pod is ready there");
            return Decision::because(Enforcement::NotProbed, none);
        }
        (false, _, false) => Enforcement::Partly,
        (false, _, true) => Enforcement::Nobody,
        (true, false, _) => Enforcement::Unknown,
        (true, true, false) => Enforcement::Enforced,
    };
    // What is wrong is told first.
    Decision { outcome, because: passed.into_iter().chain(unreached).chain(stopped).collect() }
}

/// All nodes in one sentence; `who` enforces where somebody does.
pub(crate) fn summary(nodes: &[NodeNetwork], who: &str) -> (Standing, String) {
    let of = |outcome: Enforcement| -> Vec<&NodeNetwork> {
        nodes.iter().filter(|one| one.enforcement == outcome).collect()
    };
    let some = |outcome| !of(outcome).is_empty();
    let standing = if some(Enforcement::Nobody) || some(Enforcement::Partly) {
        Standing::Limited
    } else if some(Enforcement::Unknown) || !some(Enforcement::Enforced) {
        Standing::Unknown
    } else {
        Standing::Fine
    };
    let order = [
        Enforcement::Nobody,
        Enforcement::Partly,
        Enforcement::Unknown,
        Enforcement::Enforced,
        Enforcement::NotProbed,
    ];
    let clauses: Vec<String> = order
        .into_iter()
        .filter(|outcome| some(*outcome))
        .map(|outcome| clause(outcome, &of(outcome), nodes.len(), who))
        .collect();
    match clauses.is_empty() {
        true => (standing, "the canary has not looked at any node yet".into()),
        false => (standing, clauses.join("; ")),
    }
}

fn clause(outcome: Enforcement, of: &[&NodeNetwork], all: usize, who: &str) -> String {
    let count = format!("{} of {all} nodes", of.len());
    let note = of.first().map_or("", |one| one.note.as_str());
    let names = named(of, all);
    match outcome {
        Enforcement::Enforced => format!("{who} enforces NetworkPolicy on {count} (probed){names}"),
        Enforcement::Nobody => format!("nobody enforces NetworkPolicy on {count} (probed){names}"),
        Enforcement::Partly => {
            format!("NetworkPolicy is enforced only in part on {count} (probed){names} ({note})")
        }
        Enforcement::Unknown => {
            format!("whether NetworkPolicy is enforced cannot be told on {count}{names} ({note})")
        }
        Enforcement::NotProbed => format!("{count} not probed{names} ({note})"),
    }
}

/// Names of some of the nodes; nothing when it is all of them.
fn named(of: &[&NodeNetwork], all: usize) -> String {
    if of.len() == all {
        return String::new();
    }
    let names: Vec<&str> = of.iter().take(NAMED).map(|one| one.node.as_str()).collect();
    let more = if of.len() > NAMED { ", ..." } else { "" };
    format!(": {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests;
