//! Kernel events to alerts. Each ring has a worker that owns its share of the node's processes; rules and names are
//! read, never waited for. An alert is written out first and reported after.

mod alerts;
mod names;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use kube::api::Api;
use outis_api::DetectionRules;
use outis_cluster::{Watched, watch};
use outis_detect::{RuleSet, RuleState};
use outis_model::NodeName;
use outis_model::snapshot::Snapshot;
use outis_node::{Sensor, SensorConfig, SensorError};
use outis_wire::Outbox;
use tokio::sync::watch as channel;

use super::Pulse;
use crate::config::AgentConfig;
use crate::rules;

/// How often losses and counters are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a sensor that did not start is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What the workers share.
pub(super) struct Shared {
    pub(super) node: NodeName,
    pub(super) rules: ArcSwap<RuleSet>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) outbox: Outbox,
    alerts: alerts::Desk,
}

/// What it is made of.
pub(super) struct Parts {
    pub(super) client: Client,
    pub(super) snapshot: channel::Receiver<Arc<Snapshot>>,
    pub(super) outbox: Outbox,
    pub(super) pulse: Arc<Pulse>,
}

/// Detects for ever. A sensor that cannot start is said so, and leaves the rest of the agent alone.
pub(super) async fn run(config: AgentConfig, parts: Parts) {
    let pulse = Arc::clone(&parts.pulse);
    let pack = match rules::compile(&[]) {
        Ok(pack) => pack,
        Err(faults) => {
            return pulse.protection("detection", false, format!("our own rules cannot be used: {faults}"));
        }
    };
    let alerts =
        match alerts::Desk::open(&config.alerts, &config.node, parts.outbox.clone(), Arc::clone(&pulse)) {
            Ok(alerts) => alerts,
            Err(error) => return pulse.protection("detection", false, crate::exit::chain(&error)),
        };
    let shared = Arc::new(Shared {
        node: config.node.clone(),
        rules: ArcSwap::from_pointee(pack),
        pulse: Arc::clone(&pulse),
        outbox: parts.outbox,
        alerts,
    });
    let (watched, work) = watch(Api::<DetectionRules>::all(parts.client));
    tokio::spawn(work);
    loop {
        match start(&config, &shared) {
            Ok(sensor) => return detect(sensor, &shared, watched, parts.snapshot).await,
            Err(error) => {
                let why = crate::exit::chain(&anyhow::Error::new(error));
                tracing::error!(why, "Detection is not in force on this node");
                pulse.protection("detection", false, why);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn start(config: &AgentConfig, shared: &Shared) -> Result<Sensor, SensorError> {
    Sensor::start(&SensorConfig {
        rings: config.rings as u32,
        ring_bytes: config.ring_bytes,
        own_pid_filter: true,
        interest: worker::interest(&shared.rules.load()),
        ..SensorConfig::default()
    })
}

async fn detect(
    mut sensor: Sensor,
    shared: &Arc<Shared>,
    watched: Watched<DetectionRules>,
    snapshot: channel::Receiver<Arc<Snapshot>>,
) {
    for ring in sensor.partitions() {
        let worker = worker::Worker::new(Arc::clone(shared), ring, snapshot.clone(), sensor.own_cgroup());
        tokio::spawn(worker.run());
    }
    tracing::info!("Detection is in force");
    shared.pulse.protection("detection", true, "our own rules; the cluster's were not seen yet");
    let mut changes = watched.changes();
    let mut losses = Losses::default();
    let mut last = None;
    loop {
        let written = rules::written(&watched.list());
        if last.as_ref() != Some(&written) && watched.state().synced {
            take_over(&mut sensor, shared, &written).await;
            last = Some(written);
        }
        losses.look(&sensor, shared).await;
        let _ = tokio::time::timeout(LOOK, changes.changed()).await;
    }
}

/// New rules in the place of the old. What cannot be read leaves the old in force, and says so.
async fn take_over(sensor: &mut Sensor, shared: &Shared, written: &[rules::Written]) {
    let asked = written.to_vec();
    let compiled = tokio::task::spawn_blocking(move || rules::compile(&asked)).await;
    let set = match compiled {
        Ok(Ok(set)) => set,
        Ok(Err(faults)) => {
            tracing::warn!(%faults, "Detection rules cannot be used; the older ones stay in force");
            let note = format!("the newest rules cannot be used, older ones are in force: {faults}");
            return shared.pulse.protection("detection", false, note);
        }
        Err(error) => return shared.pulse.protection("detection", false, error.to_string()),
    };
    if let Err(error) = sensor.set_interest(&worker::interest(&set)) {
        let why = crate::exit::chain(&anyhow::Error::new(error));
        return shared.pulse.protection(
            "detection",
            false,
            format!("the kernel's filter cannot be set: {why}"),
        );
    }
    let count =
        |wanted: fn(&RuleState) -> bool| set.infos().iter().filter(|info| wanted(&info.state)).count();
    let active = count(|state| *state == RuleState::Active);
    let inactive = count(|state| matches!(state, RuleState::NotActive { .. }));
    tracing::info!(active, inactive, "Detection rules taken over");
    shared.pulse.protection("detection", true, format!("{active} rules active, {inactive} not active"));
    shared.pulse.set("rules_active", active as u64);
    shared.pulse.set("rules_not_active", inactive as u64);
    shared.rules.store(Arc::new(set));
}

/// Records the kernel had no room for, told as they come up.
#[derive(Default)]
struct Losses {
    told: u64,
}

impl Losses {
    async fn look(&mut self, sensor: &Sensor, shared: &Shared) {
        let lost: u64 = sensor.lost().iter().sum();
        let counts = sensor.counts();
        for (name, value) in [
            ("events_lost_total", lost),
            ("events_filtered_total", counts.filtered),
            ("events_own_total", counts.own),
            ("events_foreign_total", counts.foreign),
        ] {
            shared.pulse.set(name, value);
        }
        if lost > self.told {
            alerts::lost(shared, lost - self.told).await;
            self.told = lost;
        }
    }
}
