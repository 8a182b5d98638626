//! From a ruling to what the API server hears and what is remembered. Pure: time and chance come in.

use std::collections::BTreeMap;

use outis_admission::{refusal_text, warnings};
use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::review::{Review, Ruling};
use outis_model::{Decision, Mode, Record, RecordId, RecordKind, Timestamp, Verdict};
use outis_server::webhook::Admitted;
use serde_json::json;

/// Both faces of one decision.
pub(super) struct Decided {
    pub(super) admitted: Admitted,
    pub(super) record: Record,
}

/// Puts a ruling into words.
pub(super) fn decide(review: &Review, decision: &Decision<Ruling>, now: Timestamp, random: u128) -> Decided {
    let id = RecordId::new(now, random);
    let ruling = &decision.outcome;
    let refused = ruling.refuses();
    let admitted = Admitted {
        allowed: !refused,
        message: if refused { refusal_text(ruling, &id) } else { String::new() },
        warnings: warnings(ruling, &id),
        annotations: BTreeMap::from([
            ("decision".to_owned(), id.to_string()),
            ("verdict".to_owned(), ruling.verdict().to_string()),
        ]),
    };
    Decided { admitted, record: record(review, decision, id, now, refused) }
}

fn record(
    review: &Review,
    decision: &Decision<Ruling>,
    id: RecordId,
    now: Timestamp,
    refused: bool,
) -> Record {
    let ruling = &decision.outcome;
    let generated = || review.object.pointer("/metadata/generateName").and_then(|name| name.as_str());
    let name = if review.name.is_empty() { generated().unwrap_or_default() } else { &review.name };
    let verdict = ruling.verdict();
    let mode = ruling.findings.iter().map(|finding| finding.mode).max();
    let word = match (refused, verdict) {
        (true, _) => "refused",
        (false, Verdict::Allow) => "admitted",
        (false, _) => "admitted, though policies that do not enforce speak against it",
    };
    let subject = Subject {
        namespace: review.namespace.parse().ok(),
        kind: review.kind.kind.clone(),
        name: name.parse().ok(),
        node: None,
    };
    Record {
        id,
        time: now,
        kind: RecordKind::Admission,
        actor: review.user.username.clone(),
        summary: format!("{} {subject}: {word}", review.operation),
        subject,
        verdict: Some(verdict),
        mode,
        priority: priority(refused, verdict, mode),
        because: decision.because.clone(),
        fields: BTreeMap::from([
            ("dryRun".to_owned(), json!(review.dry_run)),
            ("evaluated".to_owned(), json!(ruling.evaluated)),
            ("policies".to_owned(), json!(policies(ruling))),
            ("uid".to_owned(), json!(review.uid)),
        ]),
    }
}

fn policies(ruling: &Ruling) -> Vec<&str> {
    let mut names: Vec<&str> = ruling.findings.iter().map(|finding| finding.policy.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn priority(refused: bool, verdict: Verdict, mode: Option<Mode>) -> Priority {
    match (refused, verdict, mode) {
        (true, Verdict::Unknown, _) => Priority::Error,
        (true, ..) | (_, Verdict::Unknown, _) => Priority::Warning,
        (_, Verdict::Deny, Some(Mode::Warn)) => Priority::Notice,
        _ => Priority::Informational,
    }
}

/// Writes a decision that says more than "nothing speaks against it" to the log.
pub(super) fn note(record: &Record) {
    if record.verdict == Some(Verdict::Allow) {
        return;
    }
    let because: Vec<String> = record.because.iter().map(ToString::to_string).collect();
    tracing::info!(
        id = %record.id,
        actor = record.actor,
        summary = record.summary,
        because = because.join(" | "),
        "Decision"
    );
}
