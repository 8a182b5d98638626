//! The agent: one per node. Serves identities to the node's pods, watches what their processes do, reports.

mod detection;
mod identities;
mod pods;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use outis_model::input::{Fact, Health, Protection, Report, Standing};
use outis_model::record::Subject;
use outis_model::{RecordKind, Timestamp};
use outis_server::health::{self, Readiness};
use outis_server::http::{Door, bind};
use outis_server::workload;
use outis_wire::{Class, LinkState, Outbox};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::arguments::Cluster;
use crate::config::AgentConfig;
use crate::link;

/// The socket's name in its directory.
const SOCKET: &str = "workload.sock";

/// How the agent is, shared by those who know a part of it.
#[derive(Default)]
pub(crate) struct Pulse {
    facts: Mutex<Vec<Fact>>,
    protections: Mutex<BTreeMap<&'static str, Protection>>,
    counters: Mutex<BTreeMap<String, u64>>,
}

impl Pulse {
    pub(crate) fn protection(&self, name: &'static str, active: bool, note: impl Into<String>) {
        let protection = Protection { name: name.into(), active, note: note.into() };
        self.protections.lock().unwrap_or_else(PoisonError::into_inner).insert(name, protection);
    }

    /// What this node allows.
    fn learn(&self, facts: outis_node::Facts) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = told(facts);
    }

    pub(crate) fn set(&self, name: &str, value: u64) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), value);
    }

    pub(crate) fn count(&self, name: &str, more: u64) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner).entry(name.into()).or_default() += more;
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn health(&self) -> Health {
        Health {
            version: env!("CARGO_PKG_VERSION").into(),
            protections: self
                .protections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .values()
                .cloned()
                .collect(),
            facts: self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            counters: self.counters(),
        }
    }
}

/// What the node allows, as the controller hears of it.
pub(crate) fn told(facts: outis_node::Facts) -> Vec<Fact> {
    let standing = |standing| match standing {
        outis_node::Standing::Fine => Standing::Fine,
        outis_node::Standing::Limited => Standing::Limited,
        outis_node::Standing::Missing => Standing::Missing,
    };
    let fact = |fact: outis_node::Fact| Fact {
        name: fact.name.into(),
        standing: standing(fact.standing),
        text: format!("{}: {}", fact.value, fact.sentence),
        fix: fact.fix,
    };
    facts.facts.into_iter().map(fact).collect()
}

/// Runs until told to end.
pub(crate) async fn run(config: AgentConfig, cluster: &Cluster) -> Result<()> {
    let told = super::until_told()?;
    let health_door = bind(&config.health.to_string()).await?;
    // The spool is locked: a second agent for this node ends here, by name.
    let spool = config.state.clone();
    let disk = tokio::task::spawn_blocking(move || link::spool::open(&spool)).await?;
    let disk = disk.map_err(|error| alone(error, &config))?;
    let (listener, _bound) = workload::bind(&config.sockets.join(SOCKET))?;
    let readiness = Readiness::awaiting(&["pods", "controller"]);
    let pulse = Arc::new(Pulse::default());
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let outbox = Outbox::new(Arc::new(disk.clone()));
    let (health_sender, health) = watch::channel(Health::default());
    let link = link::start(config.link.clone(), client.clone(), outbox.clone(), health, told.clone());
    let snapshot = pods::follow(&client, &config.node, readiness.clone());
    let attestor = Arc::new(outis_node::Attestor::new(snapshot.clone(), config.node.clone()));
    let doors = workload::Doors {
        attest: attestor,
        identities: Arc::new(identities::Issuer::new(link.clone())),
        sink: Arc::new(Refusals {
            outbox: outbox.clone(),
            pulse: Arc::clone(&pulse),
            node: config.node.clone(),
        }),
    };
    let identities = workload::serve(listener, workload::Limits::default(), doors, told.cancelled());
    let counters = Arc::clone(&pulse);
    let router = health::router(readiness.clone(), Arc::new(move || named(counters.counters())));
    let health_door = Door { name: "health", listener: health_door, tls: None, counts: Arc::default() };
    let examined = tokio::task::spawn_blocking(|| outis_node::facts(std::path::Path::new("/"))).await;
    pulse.learn(examined.context("the thread that looks at the machine ended")?);
    let parts = detection::Parts { client, snapshot, outbox, pulse: Arc::clone(&pulse) };
    tokio::spawn(detection::run(config.clone(), parts));
    tokio::spawn(beating(Arc::clone(&pulse), health_sender, link, disk, readiness));
    info!(node = %config.node, socket = %config.sockets.join(SOCKET).display(), "Agent serves identities");
    tokio::select! {
        served = identities => served.context("the Workload API's socket broke")?,
        () = health_door.serve(router, told.cancelled()) => {}
    }
    Ok(())
}

/// A spool in use is another agent's.
fn alone(error: anyhow::Error, config: &AgentConfig) -> anyhow::Error {
    let locked = matches!(error.downcast_ref(), Some(outis_store::StoreError::Locked(_)));
    match locked {
        false => error,
        true => error.context(format!(
            "another agent runs on node {}, and a node has one: end it, or end this one",
            config.node
        )),
    }
}

fn named(counters: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counters.into_iter().map(|(name, value)| (format!("outis_agent_{name}"), value)).collect()
}

/// Keeps readiness and health as they are.
async fn beating(
    pulse: Arc<Pulse>,
    health: watch::Sender<Health>,
    link: link::Link,
    disk: link::spool::Disk,
    readiness: Readiness,
) {
    let mut enrolled = false;
    loop {
        let state = link.state.borrow().clone();
        // Once enrolled, an absent controller takes nothing from pods for hours: that is no reason to be unready.
        enrolled |= state == LinkState::Up;
        match (&state, enrolled) {
            (_, true) => readiness.holds("controller"),
            (LinkState::Away { why, .. }, false) => readiness.fails("controller", why.clone()),
            _ => {}
        }
        let note = match &state {
            LinkState::Up => "identities are served and renewed".to_owned(),
            LinkState::Starting => "not yet linked to the controller".to_owned(),
            LinkState::Away { why, .. } => {
                format!("what was issued is served; nothing new until the controller is back: {why}")
            }
        };
        pulse.protection("identity", state == LinkState::Up, note);
        let (rows, bytes, lost) = disk.depth();
        pulse.set("spool_entries", rows as u64);
        pulse.set("spool_bytes", bytes as u64);
        pulse.set("spool_lost_total", lost);
        let now = pulse.health();
        health.send_if_modified(|held| std::mem::replace(held, now.clone()) != now);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Refusals at the Workload API, reported.
struct Refusals {
    outbox: Outbox,
    pulse: Arc<Pulse>,
    node: outis_model::NodeName,
}

impl workload::Sink for Refusals {
    fn refused(&self, refused: workload::Refused) {
        self.pulse.count("refused_total", 1);
        let (namespace, name) = match refused.pod.as_deref().and_then(|pod| pod.split_once('/')) {
            Some((namespace, name)) => (namespace.parse().ok(), name.parse().ok()),
            None => (None, None),
        };
        let kind = if name.is_some() { "Pod" } else { "Process" };
        let subject = Subject { namespace, kind: kind.into(), name, node: Some(self.node.clone()) };
        let now = Timestamp::now();
        let mut record =
            super::record(now, RecordKind::Refusal, &format!("outis:agent:{}", self.node), subject);
        record.summary = format!("no identity for process {}: {}", refused.pid, refused.text);
        record.priority = outis_model::alert::Priority::Notice;
        let (outbox, pulse) = (self.outbox.clone(), Arc::clone(&self.pulse));
        tokio::spawn(async move {
            if let Err(error) = outbox.push(Class::Decision, &Report::Record(record)).await {
                pulse.count("reports_lost_total", 1);
                warn!(%error, "A refusal cannot be reported");
            }
        });
    }
}
