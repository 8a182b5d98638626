//! What components report: on disk before it is acknowledged, then told to the owner.

use std::sync::Arc;

use outis_model::alert::Priority;
use outis_model::input::{Component, Health, Input, Report};
use outis_model::port::{Answer, Refusal};
use outis_model::record::Subject;
use outis_model::{Record, RecordKind, Timestamp};
use outis_wire::{Acknowledgement, Intake, Numbered, Sender};
use serde_json::json;

use super::house::{House, unavailable};
use crate::mode::record;

/// Takes reports in.
pub(crate) struct Reports(pub(crate) Arc<House>);

fn key(from: &Sender) -> String {
    format!("link/last/{}", from.key())
}

impl Intake for Reports {
    fn last<'a>(&'a self, from: &'a Sender) -> Answer<'a, Result<Option<u64>, Refusal>> {
        let key = key(from);
        Box::pin(async move {
            let found = self.0.on_disk(move |_, state| state.get(&key)).await?;
            Ok(found.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))))
        })
    }

    fn store<'a>(&'a self, from: &'a Sender, reports: Vec<Numbered>) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let Some(last) = reports.last().map(|report| report.last) else { return Ok(()) };
            let records: Vec<Record> = reports.iter().filter_map(|numbered| filed(from, numbered)).collect();
            // Records go first: a record that arrives twice keeps its place, a number that is marked without its
            // record would be lost.
            if !records.is_empty() {
                self.0.append(records).await.map_err(|error| unavailable(error.into()))?;
            }
            let key = key(from);
            let marked = self.0.on_disk(move |_, state| {
                let old = state.get(&key)?;
                state.swap(&key, old.as_deref(), Some(&last.to_be_bytes()))
            });
            if !marked.await? {
                return Err(Refusal::Unavailable(
                    "another stream of the same sender stored at the same time".into(),
                ));
            }
            for numbered in reports {
                self.0.tell(Input::Reported { from: from.component.clone(), report: numbered.report });
            }
            Ok(())
        })
    }

    fn health(&self, from: &Component, health: Health) {
        self.0.tell(Input::Reported { from: from.clone(), report: Report::Health(health) });
    }

    fn acknowledged(&self, from: &Component, acknowledgement: Acknowledgement) {
        let Acknowledgement { name, version, error } = acknowledgement;
        match &error {
            None => tracing::debug!(%from, name, version, "Acknowledged"),
            Some(error) => tracing::warn!(%from, name, version, error, "Not taken over"),
        }
        self.0.tell(Input::Acknowledged { from: from.clone(), name, version, error });
    }

    fn connected(&self, from: &Component, version: &str, up: bool) {
        self.0.tell(Input::Linked { component: from.clone(), version: version.into(), up });
    }
}

/// A report as a record, with the number it came under, so that a gap can be seen in the log itself.
fn filed(from: &Sender, numbered: &Numbered) -> Option<Record> {
    let place = json!({"spool": from.spool, "sequence": numbered.first});
    match &numbered.report {
        Report::Record(record) => {
            let mut record = record.clone();
            record.fields.insert("link".into(), place);
            Some(record)
        }
        Report::Lost { from: first, to, why } => {
            let subject = Subject {
                kind: "Node".into(),
                name: from.component.node.as_str().parse().ok(),
                namespace: None,
                node: Some(from.component.node.clone()),
            };
            let mut lost = record(Timestamp::now(), RecordKind::Loss, &from.component.to_string(), subject);
            lost.summary = format!("{} reports of {} were lost: {why}", to - first + 1, from.component);
            lost.priority = Priority::Error;
            lost.fields.insert("link".into(), json!({"spool": from.spool, "sequence": first, "to": to}));
            lost.fields.insert("lost".into(), json!(to - first + 1));
            Some(lost)
        }
        Report::Health(_) => None,
    }
}
