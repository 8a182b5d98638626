//! What is written down of it.

use std::collections::BTreeMap;

use outis_identity::Authority;
use outis_identity::rotation::Step;
use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::{Reason, Record, RecordKind, Timestamp};
use serde_json::json;

use crate::mode::record;

/// A step, on behalf of who asked for the rotation; nothing where only the waiting began anew.
pub(super) fn stepped(
    after: &Authority,
    step: &Step,
    because: Vec<Reason>,
    now: Timestamp,
) -> Option<Record> {
    let (root, rotation) = (after.root(), after.rotation());
    let version = rotation.version;
    let (what, without) = match step {
        Step::Wait | Step::Recount => return None,
        Step::Prepare => ("a new root is made and sealed".to_owned(), &[][..]),
        Step::Publish => (format!("bundle {version} holds the old root and the new one"), &[][..]),
        Step::Activate(without) => (format!("certificates are signed under root {root}"), &without[..]),
        Step::Retire => (format!("bundle {version} holds root {root} alone"), &[][..]),
        Step::Finish(without) => (format!("root {root} is the one root"), &without[..]),
    };
    let mut record = record(now, RecordKind::Configuration, &rotation.by, subject());
    record.summary = format!("root rotation {}: {what}", rotation.phase);
    let names: Vec<String> = without.iter().map(ToString::to_string).collect();
    record.priority = Priority::Notice;
    if !names.is_empty() {
        record.summary.push_str(&format!("; without {}", names.join(", ")));
        record.priority = Priority::Warning;
    }
    record.because = because;
    record.fields = BTreeMap::from([(
        "rotation".to_owned(),
        json!({"phase": rotation.phase, "bundle": version, "root": root, "without": names}),
    )]);
    Some(record)
}

/// A new intermediate.
pub(super) fn intermediate(after: &Authority, by: &str, now: Timestamp) -> Record {
    let mut record = record(now, RecordKind::Configuration, by, subject());
    record.summary = format!("a new intermediate signs under root {}", after.root());
    record.priority = Priority::Notice;
    record
}

fn subject() -> Subject {
    Subject { kind: "Outis".into(), name: outis_api::outis::NAME.parse().ok(), ..Subject::default() }
}
