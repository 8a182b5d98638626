//! What keeps Outis from working, and what to do about it. Pure: judged over what was examined.

use outis_cluster::diagnose::PartState;
use outis_model::input::{Fact, Standing};
use serde::Serialize;

use crate::network::{Enforcement, summary};
use crate::status::Status;

/// How far two clocks may be apart, in seconds: a proof is taken for two minutes.
const SKEW: i64 = 60;
/// What helps whoever may not look or mend.
const ASK: &str = "ask a cluster administrator to install or repair Outis";

/// What was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Examined {
    /// Version of the cluster.
    pub(crate) server: String,
    /// What we may not do and would have to, as `verb resource`.
    pub(crate) forbidden: Vec<String>,
    /// Our parts; the text says why they cannot be read.
    pub(crate) parts: Result<Vec<PartState>, String>,
    /// What the controller says; the text says why it says nothing.
    pub(crate) status: Result<Box<Status>, String>,
    /// The controller's clock less ours, in seconds, as its Lease tells.
    pub(crate) skew: Option<i64>,
    /// Phase of the store's claim, if there is one; the text says why that cannot be read.
    pub(crate) claim: Result<Option<String>, String>,
    /// Names of DaemonSets of the whole cluster, for the network plugin.
    pub(crate) daemon_sets: Vec<String>,
    /// How many NetworkPolicies there are beside our own; `None` when we may not see them.
    pub(crate) policies: Option<usize>,
    /// Version of this binary.
    pub(crate) version: String,
    /// Why the registered webhook is not believed, when it is not; `None` when nothing is registered.
    pub(crate) chain: Option<Result<(), String>>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// About what; `node/NAME/...` for a node's.
    pub(crate) name: String,
    /// How it stands.
    pub(crate) standing: Standing,
    /// One sentence.
    pub(crate) text: String,
    /// What to do.
    pub(crate) fix: Option<String>,
}

fn check(name: impl Into<String>, standing: Standing, text: impl Into<String>, fix: Option<&str>) -> Check {
    Check { name: name.into(), standing, text: text.into(), fix: fix.map(str::to_owned) }
}

/// Every finding, in the order a reader wants them.
pub(crate) fn examine(examined: &Examined) -> Vec<Check> {
    let mut checks = vec![server(examined), permissions(examined)];
    checks.extend(parts(examined));
    checks.extend([
        volume(examined),
        chain(examined),
        clock(examined),
        versions(examined),
        network(examined),
    ]);
    checks.extend(nodes(examined));
    checks
}

fn server(examined: &Examined) -> Check {
    let minor =
        examined.server.trim_start_matches('v').split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let text = format!("Kubernetes {}", examined.server);
    match minor {
        Some(minor) if minor >= 30 => check("cluster", Standing::Fine, text, None),
        Some(_) => {
            check("cluster", Standing::Limited, text, Some("Outis is tested on 1.36; take 1.30 or newer"))
        }
        None => check(
            "cluster",
            Standing::Unknown,
            "the cluster does not say its version",
            Some("let this user read /version (ClusterRole system:public-info-viewer)"),
        ),
    }
}

fn permissions(examined: &Examined) -> Check {
    match examined.forbidden.is_empty() {
        true => check("permissions", Standing::Fine, "you may install and look after Outis", None),
        false => check(
            "permissions",
            Standing::Limited,
            format!("you may not {}", examined.forbidden.join(", ")),
            Some(ASK),
        ),
    }
}

fn parts(examined: &Examined) -> Vec<Check> {
    let parts = match &examined.parts {
        Err(why) => {
            let text = format!("whether Outis is installed cannot be read: {why}");
            return vec![check("parts", Standing::Unknown, text, Some(ASK))];
        }
        Ok(parts) if parts.is_empty() => {
            let (text, fix) = ("Outis is not installed", "run `outis install`");
            return vec![check("parts", Standing::Missing, text, Some(fix))];
        }
        Ok(parts) => parts,
    };
    let one = |part: &PartState| {
        let text = format!("{} of {} ready", part.ready, part.wanted);
        let name = format!("part/{}", part.part);
        match (part.whole(), &part.stuck) {
            (true, _) => check(name, Standing::Fine, text, None),
            (false, Some(stuck)) => check(name, Standing::Missing, text, Some(stuck)),
            (false, None) => {
                check(name, Standing::Missing, text, Some("look at `kubectl -n outis-system get pods`"))
            }
        }
    };
    let mut checks: Vec<Check> = parts.iter().map(one).collect();
    match &examined.status {
        Ok(_) => checks.push(check("controller", Standing::Fine, "answers", None)),
        Err(why) => {
            checks.push(check("controller", Standing::Missing, why.clone(), Some("see part/controller")))
        }
    }
    checks
}

fn volume(examined: &Examined) -> Check {
    match examined.claim.as_ref().map(Option::as_deref) {
        Err(why) => {
            let text = format!("the store's claim cannot be read: {why}");
            check("volume", Standing::Unknown, text, Some(ASK))
        }
        Ok(Some("Bound")) => check("volume", Standing::Fine, "the store's claim is bound", None),
        Ok(Some(phase)) => check(
            "volume",
            Standing::Missing,
            format!("the store's claim is {phase}"),
            Some("give it a volume: `outis install --storage-class NAME` or `--volume NAME`"),
        ),
        Ok(None) => {
            check("volume", Standing::Missing, "there is no claim for the store", Some("run `outis install`"))
        }
    }
}

fn chain(examined: &Examined) -> Check {
    match &examined.chain {
        None => check("webhook", Standing::Fine, "nothing is registered: no policy asks for it", None),
        Some(Ok(())) => {
            check("webhook", Standing::Fine, "the API server believes the webhook's certificate", None)
        }
        Some(Err(why)) => check(
            "webhook",
            Standing::Missing,
            format!("the API server does not believe the webhook: {why}"),
            Some("delete the Secret outis-webhook-serving; the controller makes a new one and registers it"),
        ),
    }
}

fn clock(examined: &Examined) -> Check {
    match examined.skew {
        None => {
            let text = "no Lease tells the controller's clock";
            check("clock", Standing::Unknown, text, Some("see part/controller"))
        }
        Some(skew) if skew.abs() <= SKEW => {
            check("clock", Standing::Fine, format!("within {} s", skew.abs().max(1)), None)
        }
        Some(skew) => check(
            "clock",
            Standing::Missing,
            format!("the controller's clock is {skew} s from this machine's"),
            Some("set both by NTP; certificates and proofs are not believed across such a gap"),
        ),
    }
}

fn versions(examined: &Examined) -> Check {
    let Ok(status) = &examined.status else {
        let text = "the controller does not answer";
        return check("versions", Standing::Unknown, text, Some("see part/controller"));
    };
    let all = std::iter::once(("controller".to_owned(), &status.version)).chain(
        status
            .components
            .iter()
            .filter(|one| one.up)
            .map(|one| (format!("{} {}", one.role, one.pod), &one.version)),
    );
    let other: Vec<String> = all
        .filter(|(_, version)| **version != examined.version)
        .map(|(who, version)| format!("{who} is {version}"))
        .collect();
    match other.is_empty() {
        true => check("versions", Standing::Fine, format!("all are {}", examined.version), None),
        false => check(
            "versions",
            Standing::Limited,
            format!("this binary is {}, {}", examined.version, other.join(", ")),
            Some("bring all to one version: `outis install --replace`"),
        ),
    }
}

/// Network plugins that enforce NetworkPolicy, by a word in their DaemonSet's name. It names who does what the
/// canary proved; it proves nothing itself.
const ENFORCING: [&str; 9] = [
    "calico-node",
    "canal",
    "cilium",
    "antrea-agent",
    "kindnet",
    "kube-network-policies",
    "kube-router",
    "ovnkube-node",
    "weave-net",
];

fn network(examined: &Examined) -> Check {
    let Ok(status) = &examined.status else {
        let text = "whether NetworkPolicy is enforced is not known: the controller, which probes it, does not answer";
        return check("network", Standing::Unknown, text, Some("see part/controller"));
    };
    let known = ENFORCING.iter().find(|word| examined.daemon_sets.iter().any(|name| name.contains(*word)));
    let who = known.map_or_else(|| "somebody".to_owned(), |name| format!("the network plugin {name}"));
    let (standing, mut text) = summary(&status.network, &who);
    if status.network.iter().any(|node| node.enforcement == Enforcement::Nobody) {
        text.push_str(&idle(examined.policies));
    }
    let fix = match standing {
        Standing::Fine => None,
        Standing::Limited => {
            Some("run a network plugin that enforces NetworkPolicy everywhere; until then rely on none")
        }
        _ => Some("before you rely on a NetworkPolicy, try one that denies"),
    };
    check("network", standing, text, fix)
}

/// What it means for the policies there are.
fn idle(policies: Option<usize>) -> String {
    match policies {
        Some(0) => "; there is no NetworkPolicy yet that this would matter to".into(),
        Some(1) => "; 1 NetworkPolicy in this cluster has no effect there".into(),
        Some(count) => format!("; {count} NetworkPolicies in this cluster have no effect there"),
        None => "; NetworkPolicies have no effect there (you may not see how many there are)".into(),
    }
}

fn nodes(examined: &Examined) -> Vec<Check> {
    let Ok(status) = &examined.status else { return vec![] };
    let uncovered = status.nodes.iter().filter(|node| !node.covered).map(|node| {
        let name = format!("node/{}", node.name);
        check(name, Standing::Missing, format!("not covered: {}", node.note), Some("see part/agent"))
    });
    let facts = status.components.iter().filter(|one| one.up && one.role == "agent").flat_map(|one| {
        one.facts.iter().map(|fact: &Fact| Check {
            name: format!("node/{}/{}", one.node, fact.name),
            standing: fact.standing,
            text: fact.text.clone(),
            fix: fact.fix.clone(),
        })
    });
    let inactive = status.components.iter().filter(|one| one.up).flat_map(|one| {
        one.protections.iter().filter(|protection| !protection.active).map(|protection| {
            let name = format!("node/{}/{}", one.node, protection.name);
            check(name, Standing::Missing, protection.note.clone(), Some("put right what the sentence names"))
        })
    });
    uncovered.chain(inactive).chain(facts).collect()
}

#[cfg(test)]
mod tests;
