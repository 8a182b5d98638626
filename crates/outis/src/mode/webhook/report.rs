//! Decisions on their way to the controller: never in the way of an answer. A queue that is full loses, and counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outis_model::input::{Health, Protection, Report};
use outis_model::{Record, Verdict};
use outis_server::health::Readiness;
use outis_wire::{Class, MemorySpool, Outbox, SpoolLimits};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::LinkConfig;

/// Decisions between a worker and the spool.
const QUEUE: usize = 1024;

/// Where workers leave their decisions.
#[derive(Clone, Default)]
pub(super) struct Reports {
    queue: Option<mpsc::Sender<Record>>,
    lost: Arc<AtomicU64>,
    unjudged: Arc<AtomicU64>,
}

impl Reports {
    /// Starts the link; without a controller decisions are in the log alone.
    pub(super) fn start(
        config: &LinkConfig,
        client: Option<kube::Client>,
        readiness: &Readiness,
        told: &CancellationToken,
    ) -> Self {
        let (lost, unjudged) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (Some(_), Some(client)) = (&config.controller, client) else {
            return Self { queue: None, lost, unjudged };
        };
        let spool = MemorySpool::new(format!("{:032x}", crate::chance::number()), SpoolLimits::default());
        let outbox = Outbox::new(Arc::new(spool));
        let (health, beats) = watch::channel(Health::default());
        drop(crate::link::start(config.clone(), client, outbox.clone(), beats, told.clone()));
        tokio::spawn(beating(health, readiness.clone(), Arc::clone(&lost), Arc::clone(&unjudged)));
        let (queue, records) = mpsc::channel(QUEUE);
        tokio::spawn(carrying(records, outbox, Arc::clone(&lost)));
        Self { queue: Some(queue), lost, unjudged }
    }

    /// Takes a decision that says more than "nothing speaks against it".
    pub(super) fn take(&self, record: Record) {
        let Some(queue) = self.queue.as_ref().filter(|_| record.verdict != Some(Verdict::Allow)) else {
            return;
        };
        if queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where to count requests that got no answer: the controller looks afterwards for what was admitted meanwhile.
    pub(super) fn unjudged(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.unjudged)
    }

    /// Decisions that were given and not kept.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn carrying(mut records: mpsc::Receiver<Record>, outbox: Outbox, lost: Arc<AtomicU64>) {
    let mut batch = Vec::new();
    while records.recv_many(&mut batch, 128).await > 0 {
        let reports: Vec<Report> = batch.drain(..).map(Report::Record).collect();
        let rows = reports.iter().map(|report| (Class::Decision, report)).collect();
        if outbox.push_all(rows).await.is_ok() {
            continue;
        }
        // One that is too long must not take the others with it.
        for report in &reports {
            if let Err(error) = outbox.push(Class::Decision, report).await {
                lost.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "A decision cannot be kept for the controller");
            }
        }
    }
}

async fn beating(
    health: watch::Sender<Health>,
    readiness: Readiness,
    lost: Arc<AtomicU64>,
    unjudged: Arc<AtomicU64>,
) {
    loop {
        let missing = readiness.missing();
        let note = match missing.is_empty() {
            true => "judges by the policies in force".to_owned(),
            false => {
                missing.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
            }
        };
        let now = Health {
            version: env!("CARGO_PKG_VERSION").into(),
            protections: vec![Protection { name: "admission".into(), active: missing.is_empty(), note }],
            facts: vec![],
            counters: BTreeMap::from([
                ("reports_lost_total".to_owned(), lost.load(Ordering::Relaxed)),
                ("unjudged_total".to_owned(), unjudged.load(Ordering::Relaxed)),
            ]),
        };
        health.send_if_modified(|held| std::mem::replace(held, now.clone()) != now);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
