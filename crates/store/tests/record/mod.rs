//! A record of a given number, time and length.

use std::collections::BTreeMap;

use outis_model::alert::Priority;
use outis_model::record::{Record, RecordId, Subject};
use outis_model::{RecordKind, Timestamp};

pub(crate) fn record(number: u64, time: Timestamp, size: usize) -> Record {
    Record {
        id: RecordId::new(time, u128::from(number)),
        time,
        kind: RecordKind::Admission,
        actor: "jo".into(),
        subject: Subject::default(),
        summary: format!("record {number} {}", "x".repeat(size)),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    }
}
