//! Alerts: one JSON line each where people collect them, and a record for the controller. A queue lies between the
//! workers and the disk; when it is full the alert is lost for the record, and that is counted and told.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use outis_detect::falco_json;
use outis_model::alert::{Match, Priority};
use outis_model::event::Event;
use outis_model::input::Report;
use outis_model::record::Subject;
use outis_model::{NodeName, Reason, Record, RecordKind, Timestamp};
use outis_wire::{Class, Outbox};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Pulse, Shared};

/// Alerts between the workers and the spool.
const QUEUE: usize = 4096;

/// Where alerts are left.
pub(super) struct Desk {
    node: NodeName,
    out: Mutex<Box<dyn Write + Send>>,
    queue: mpsc::Sender<Record>,
    pulse: Arc<Pulse>,
}

impl Desk {
    /// Opens the output.
    pub(super) fn open(path: &Path, node: &NodeName, outbox: Outbox, pulse: Arc<Pulse>) -> Result<Self> {
        let out: Box<dyn Write + Send> = match path == Path::new("-") {
            true => Box::new(std::io::stdout()),
            false => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                Box::new(opened.with_context(|| format!("cannot open {} for alerts", path.display()))?)
            }
        };
        let (queue, records) = mpsc::channel(QUEUE);
        tokio::spawn(carrying(records, outbox, Arc::clone(&pulse)));
        Ok(Self { node: node.clone(), out: Mutex::new(out), queue, pulse })
    }

    /// Writes an alert out and reports it.
    pub(super) fn take(&self, found: Match, event: &Event) {
        self.pulse.count("alerts_total", 1);
        let mut line = falco_json(&found, self.node.as_str(), event.time).to_string();
        line.push('\n');
        let written = {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(line.as_bytes()).and_then(|()| out.flush())
        };
        if let Err(error) = written {
            self.pulse.count("alerts_unwritten_total", 1);
            tracing::warn!(%error, "An alert cannot be written out");
        }
        let delay = boottime().saturating_sub(found.stamp) / 1000;
        if self.queue.try_send(record(&found, event, &self.node, delay)).is_err() {
            self.pulse.count("alerts_lost_total", 1);
        }
    }
}

/// Nanoseconds since boot, as the kernel stamps records.
fn boottime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn record(found: &Match, event: &Event, node: &NodeName, delay: u64) -> Record {
    let pod = event.place.pod();
    let subject = Subject {
        namespace: pod.map(|pod| pod.namespace.clone()),
        kind: if pod.is_some() { "Pod" } else { "Node" }.into(),
        name: pod.map_or_else(|| node.as_str().parse().ok(), |pod| Some(pod.name.clone())),
        node: Some(node.clone()),
    };
    let now = Timestamp::now();
    let mut record = crate::mode::record(now, RecordKind::Alert, &format!("outis:agent:{node}"), subject);
    record.time = event.time;
    record.summary = format!("{}: {}", found.rule, found.output);
    record.priority = found.priority;
    record.because = vec![Reason::new("RuleMatched", found.output.clone()).by(found.rule.as_str())];
    let fields = found.fields.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    record.fields = fields.collect::<BTreeMap<_, _>>();
    record.fields.insert("rule".into(), json!(found.rule));
    record.fields.insert("tags".into(), json!(found.tags));
    record.fields.insert("hostname".into(), json!(node));
    record.fields.insert("delayMicroseconds".into(), json!(delay));
    record
}

async fn carrying(mut records: mpsc::Receiver<Record>, outbox: Outbox, pulse: Arc<Pulse>) {
    let mut batch = Vec::new();
    while records.recv_many(&mut batch, 128).await > 0 {
        let reports: Vec<Report> = batch.drain(..).map(Report::Record).collect();
        let rows = reports.iter().map(|report| (Class::Detection, report)).collect();
        if let Err(error) = outbox.push_all(rows).await {
            pulse.count("reports_lost_total", reports.len() as u64);
            tracing::warn!(%error, "Alerts cannot be kept for the controller");
        }
    }
}

/// Tells that the kernel had no room for so many records.
pub(super) async fn lost(shared: &Shared, count: u64) {
    let node = &shared.node;
    let subject = Subject {
        namespace: None,
        kind: "Node".into(),
        name: node.as_str().parse().ok(),
        node: Some(node.clone()),
    };
    let mut record =
        crate::mode::record(Timestamp::now(), RecordKind::Loss, &format!("outis:agent:{node}"), subject);
    record.summary = format!("{count} kernel events were lost: the rings were full");
    record.priority = Priority::Error;
    record.fields.insert("lost".into(), json!(count));
    tracing::error!(count, "Kernel events were lost");
    if shared.outbox.push(Class::Detection, &Report::Record(record)).await.is_err() {
        shared.pulse.count("reports_lost_total", 1);
    }
}
