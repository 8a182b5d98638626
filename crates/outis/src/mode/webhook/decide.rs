//! From a ruling to what the API server hears and what is remembered. Pure: time and chance come in.

use std::collections::BTreeMap;

use outis_admission::{refusal_text, warnings};
use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::review::{Review, Ruling};
use outis_model::{Decision, Mode, Record, RecordId, RecordKind, Timestamp, Verdict};
use outis_server::webhook::Admitted;
use serde_json::json;

use crate::mode::ruling;

/// Both faces of one decision.
pub(super) struct Decided {
    pub(super) admitted: Admitted,
    pub(super) record: Record,
}

/// Puts a ruling into words.
pub(super) fn decide(review: &Review, decision: &Decision<Ruling>, now: Timestamp, random: u128) -> Decided {
    let id = RecordId::new(now, random);
    let decision = &ruling::discreet(review, decision.clone());
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
            ("policies".to_owned(), json!(ruling::policies(ruling))),
            ("uid".to_owned(), json!(review.uid)),
        ]),
    }
}

fn priority(refused: bool, verdict: Verdict, mode: Option<Mode>) -> Priority {
    match (refused, verdict, mode) {
        (true, Verdict::Unknown, _) => Priority::Error,
        (true, ..) | (_, Verdict::Unknown, _) => Priority::Warning,
        (_, Verdict::Deny, Some(Mode::Warn)) => Priority::Notice,
        _ => Priority::Informational,
    }
}

/// Nobody waited for the answer: what became of the request is not what was decided.
pub(super) fn too_late(record: &mut Record) {
    record.summary += "; judged too late, the API server went by the failure policy";
    record.priority = record.priority.max(Priority::Warning);
    record.fields.insert("tooLate".into(), json!(true));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outis_model::Reason;
    use outis_model::review::{Finding, GroupVersionKind, Operation};
    use serde_json::Value;

    use super::*;

    fn decided(text: &str, mode: Mode, verdict: Verdict) -> Decided {
        let reason = Reason::new("PolicyViolation", text).by("quoting");
        let policy = "quoting".parse().expect("name");
        let ruling = Ruling {
            findings: vec![Finding { policy, mode, verdict, reason: reason.clone() }],
            evaluated: 1,
        };
        let kind = GroupVersionKind { group: String::new(), version: "v1".into(), kind: "Pod".into() };
        let review = Review {
            uid: "u".into(),
            kind,
            resource: Default::default(),
            sub_resource: String::new(),
            name: String::new(),
            namespace: "shop".into(),
            operation: Operation::Create,
            user: Default::default(),
            object: Arc::new(json!({"metadata": {"generateName": "web-"},
                "spec": {"containers": [{"env": [{"name": "X", "value": "swordfish"}]}]}})),
            old_object: Arc::new(Value::Null),
            dry_run: false,
            options: Value::Null,
            namespace_object: Arc::new(Value::Null),
        };
        decide(&review, &Decision { outcome: ruling, because: vec![reason] }, Timestamp::UNIX_EPOCH, 7)
    }

    #[test]
    fn a_quoted_credential_is_neither_answered_nor_kept() {
        let quotes = "args may not hold --password=hunter2 or TOKEN=hunter2, nor the environment swordfish";
        let decided = decided(quotes, Mode::Enforce, Verdict::Deny);
        let (message, record) = (decided.admitted.message, decided.record);
        let kept = serde_json::to_string(&record).expect("JSON");
        for place in [&message, &kept] {
            assert!(!place.contains("hunter2") && !place.contains("swordfish"), "{place}");
        }
        assert_eq!(record.because[0].source.as_deref(), Some("quoting"));
    }

    #[test]
    fn the_verdict_is_the_same_in_every_mode_and_only_enforce_refuses() {
        for mode in [Mode::Observe, Mode::Warn, Mode::Enforce] {
            let decided = decided("no", mode, Verdict::Deny);
            assert_eq!(decided.record.verdict, Some(Verdict::Deny));
            assert_eq!(decided.admitted.allowed, mode != Mode::Enforce);
        }
    }

    #[test]
    fn what_nobody_could_tell_is_an_error_when_it_refuses_and_a_warning_when_not() {
        let of = |mode| decided("out of fuel", mode, Verdict::Unknown).record.priority;
        assert_eq!((of(Mode::Enforce), of(Mode::Observe)), (Priority::Error, Priority::Warning));
    }

    #[test]
    fn a_pod_without_a_name_yet_goes_by_its_prefix() {
        let record = decided("no", Mode::Observe, Verdict::Deny).record;
        assert!(record.summary.starts_with("CREATE Pod shop/web-: admitted, though"), "{}", record.summary);
    }
}
