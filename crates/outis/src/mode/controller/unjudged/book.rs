//! What is remembered of objects that were admitted unjudged. Pure: times and ids are arguments.

use std::collections::{BTreeMap, BTreeSet};

use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::review::Ruling;
use outis_model::{Decision, Mode, Record, RecordId, RecordKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mode::controller::attendance::{Attendance, Span};
use crate::mode::ruling;
use crate::status::{Unjudged, UnjudgedObject};

/// Objects listed at most, each with a record of its own; the others are counted.
pub(crate) const MOST: usize = 200;
/// Objects shown at most.
const SHOWN: usize = 20;

/// What is kept in the store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Book {
    pub(crate) attendance: Attendance,
    /// Objects that policies speak against, and that nobody judged.
    pub(crate) listed: Vec<Entry>,
    /// There are more of them than are listed.
    pub(crate) rest: Option<Rest>,
    /// What could not be looked at, and why.
    pub(crate) blind: Vec<String>,
}

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// One listed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) place: Place,
    pub(crate) changed: Timestamp,
    pub(crate) record: RecordId,
    /// Policies that speak against it.
    pub(crate) policies: Vec<String>,
}

/// Those for which there was no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest {
    pub(crate) count: u64,
    pub(crate) span: Span,
}

/// What one look over the cluster found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Swept {
    pub(crate) span: Span,
    /// Objects that are not listed yet, as many as there is room for.
    pub(crate) found: Vec<Found>,
    /// How many there are beyond.
    pub(crate) over: u64,
    /// What could not be looked at, and why.
    pub(crate) blind: Vec<String>,
}

/// One object with what speaks against it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) changed: Timestamp,
    pub(crate) decision: Decision<Ruling>,
}

impl Book {
    /// How many more can be listed.
    pub(crate) fn room(&self) -> usize {
        MOST.saturating_sub(self.listed.len())
    }

    /// The stretch to be judged now: what is due, or what did not fit and does now.
    pub(crate) fn span(&self, now: Timestamp) -> Option<Span> {
        let fits = |rest: &Rest| self.room() >= MOST / 2 || self.room() as u64 >= rest.count;
        self.attendance.due(now).or(self.rest.filter(fits).map(|rest| rest.span))
    }

    /// Takes in what was found; gives what is to be recorded.
    pub(crate) fn enter(
        &mut self,
        swept: Swept,
        now: Timestamp,
        mut id: impl FnMut() -> RecordId,
    ) -> Vec<Record> {
        let mut records: Vec<Record> = swept.found.iter().map(|found| record(found, now, id())).collect();
        let entries = swept.found.iter().zip(&records).map(|(found, record)| Entry {
            place: found.place.clone(),
            changed: found.changed,
            record: record.id,
            policies: ruling::policies(&found.decision.outcome).into_iter().map(str::to_owned).collect(),
        });
        self.listed.extend(entries);
        self.listed.sort_by(|a, b| (a.changed, &a.place.uid).cmp(&(b.changed, &b.place.uid)));
        if swept.over > 0 && self.rest.is_none_or(|rest| rest.span != swept.span) {
            records.push(beyond(swept.over, now, id()));
        }
        self.rest = self.left_over(&swept);
        self.blind = swept.blind;
        self.attendance.paid(swept.span);
        records
    }

    /// What did not fit, this time and before: a look over another stretch found nothing of what is left of this one.
    fn left_over(&self, swept: &Swept) -> Option<Rest> {
        let elsewhere = |rest: &Rest| rest.span.from < swept.span.from || rest.span.until > swept.span.until;
        match (self.rest.filter(elsewhere), swept.over) {
            (None, 0) => None,
            (None, over) => Some(Rest { count: over, span: swept.span }),
            (Some(rest), over) => {
                let (from, until) =
                    (rest.span.from.min(swept.span.from), rest.span.until.max(swept.span.until));
                let span = if over == 0 { rest.span } else { Span { from, until, sure: rest.span.sure } };
                Some(Rest { count: rest.count + over, span })
            }
        }
    }

    /// Takes out objects that are gone, or that nothing speaks against any more.
    pub(crate) fn strike(&mut self, uids: &BTreeSet<String>) {
        self.listed.retain(|entry| !uids.contains(&entry.place.uid));
    }

    /// What people are shown.
    pub(crate) fn shown(&self) -> Unjudged {
        let shown = |entry: &Entry| UnjudgedObject {
            object: entry.place.subject().to_string(),
            changed: entry.changed,
            record: entry.record,
            policies: entry.policies.clone(),
        };
        Unjudged {
            count: self.listed.len() as u64 + self.rest.map_or(0, |rest| rest.count),
            objects: self.listed.iter().take(SHOWN).map(shown).collect(),
            blind: self.blind.clone(),
        }
    }
}

impl Place {
    fn subject(&self) -> Subject {
        Subject {
            namespace: self.namespace.as_deref().and_then(|namespace| namespace.parse().ok()),
            kind: self.kind.clone(),
            name: self.name.parse().ok(),
            node: None,
        }
    }
}

fn record(found: &Found, now: Timestamp, id: RecordId) -> Record {
    let ruling = &found.decision.outcome;
    let subject = found.place.subject();
    let policies = ruling::policies(ruling);
    let mut record = blank(now, id, subject);
    record.summary = format!("admitted unjudged: {}, against {}", record.subject, policies.join(", "));
    record.verdict = Some(ruling.verdict());
    record.mode = ruling.findings.iter().map(|finding| finding.mode).max();
    record.priority = if record.mode == Some(Mode::Enforce) { Priority::Warning } else { Priority::Notice };
    record.because = found.decision.because.clone();
    record.fields = BTreeMap::from([
        ("changed".to_owned(), json!(found.changed)),
        ("evaluated".to_owned(), json!(ruling.evaluated)),
        ("policies".to_owned(), json!(policies)),
        ("uid".to_owned(), json!(found.place.uid)),
    ]);
    record
}

fn beyond(count: u64, now: Timestamp, id: RecordId) -> Record {
    let mut record = blank(now, id, Subject::default());
    record.summary = format!(
        "admitted unjudged: {count} more objects, which get their records once there is room for them"
    );
    record.priority = Priority::Warning;
    record.fields.insert("count".into(), json!(count));
    record
}

fn blank(time: Timestamp, id: RecordId, subject: Subject) -> Record {
    Record {
        id,
        time,
        kind: RecordKind::Admission,
        actor: "outis:controller".into(),
        subject,
        summary: String::new(),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
