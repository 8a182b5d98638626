//! Which leaves are out when the controller starts: the log has every one before anybody holds it.

use std::sync::{Mutex, PoisonError};

use outis_identity::LONGEST;
use outis_identity::rotation::Leaves;
use outis_model::{Record, RecordKind, Timestamp};
use outis_store::{Query, State, StoreError};

use crate::mode::controller::house::House;
use crate::mode::controller::losses::STORE;

const UNNAMED: &str = "ca/leaves-until";

/// Fills in the leaves of before. What cannot be told counts as long as a leaf can live.
pub(super) async fn recall(house: &House, unknown: bool) {
    let now = Timestamp::now();
    let Ok(from) = Timestamp::from_second(now.as_second() - LONGEST) else { return };
    let read = house.on_disk(move |log, state| {
        let leaves = Mutex::new(Leaves::default());
        let query = Query { from: None, since: Some(from), limit: usize::MAX };
        log.range(&query, |logged| {
            take(&mut leaves.lock().unwrap_or_else(PoisonError::into_inner), &logged.record);
            // They are looked at, not kept.
            false
        })?;
        let mut leaves = leaves.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = unnamed(state, unknown, now)? {
            leaves.unnamed(until);
        }
        Ok(leaves)
    });
    let before = read.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "It cannot be told which certificates are out");
        let mut leaves = Leaves::default();
        leaves.unnamed(Timestamp::from_second(now.as_second() + LONGEST).unwrap_or(now));
        leaves
    });
    house.known.lock().unwrap_or_else(PoisonError::into_inner).extend(before.pods().cloned());
    house.leaves.lock().unwrap_or_else(PoisonError::into_inner).join(before);
}

/// Until when there may be leaves the log does not know: it was lost, and the authority was not. Kept, because the
/// log that began anew looks whole after the next start.
fn unnamed(state: &State, unknown: bool, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let held = state.get(UNNAMED)?;
    if unknown && held.is_none() {
        let until = now.as_second() + LONGEST;
        state.swap(UNNAMED, None, Some(&until.to_be_bytes()))?;
        return Ok(Timestamp::from_second(until).ok());
    }
    let until = held.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
    Ok(until.and_then(|until| Timestamp::from_second(until).ok()))
}

/// One record of an issuance, or of a loss there may have been some in. An older version did not say for which pod and
/// under which root.
fn take(leaves: &mut Leaves, record: &Record) {
    if record.kind == RecordKind::Loss && record.actor == STORE {
        let until = Timestamp::from_second(record.time.as_second() + LONGEST);
        leaves.unnamed(until.unwrap_or(record.time));
    }
    if record.kind != RecordKind::Issuance {
        return;
    }
    let field = |key: &str| record.fields.get(key).and_then(|value| value.as_str());
    let Some(Ok(until)) = field("notAfter").map(str::parse) else { return };
    match (field("podUid").map(str::parse), field("root")) {
        (Some(Ok(pod)), Some(root)) => leaves.issued(&pod, root, until),
        _ => leaves.unnamed(until),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use outis_model::record::Subject;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn issued(fields: serde_json::Value) -> Record {
        let mut record = crate::mode::record(at(0), RecordKind::Issuance, "x", Subject::default());
        record.fields = serde_json::from_value::<BTreeMap<_, _>>(fields).expect("an object");
        record
    }

    #[test]
    fn the_log_tells_which_leaves_are_out_and_what_it_does_not_name_counts_too() {
        let mut leaves = Leaves::default();
        take(&mut leaves, &issued(json!({"notAfter": at(100), "podUid": "u-1", "root": "old"})));
        take(&mut leaves, &issued(json!({"notAfter": at(900), "podUid": "u-1", "root": "new"})));
        assert_eq!(leaves.last_but("new", |_| true), Some(at(100)));
        take(&mut leaves, &issued(json!({"notAfter": at(200)})));
        assert_eq!(leaves.last_but("new", |_| true), Some(at(200)), "of an older version");
        let mut lost = issued(json!({}));
        (lost.kind, lost.actor) = (RecordKind::Loss, STORE.into());
        let mut before = Leaves::default();
        take(&mut before, &lost);
        assert_eq!(before.last_but("new", |_| true), Some(at(LONGEST)), "whoever was in what is lost");
        let mut other = issued(json!({"notAfter": at(800)}));
        other.kind = RecordKind::Admission;
        take(&mut leaves, &other);
        assert_eq!(leaves.last_but("new", |_| true), Some(at(200)));
    }

    #[test]
    fn a_lost_log_is_waited_for_once_and_that_is_remembered() {
        let dir = tempfile::tempdir().expect("dir");
        let state = State::open(dir.path()).expect("opens");
        assert_eq!(unnamed(&state, false, at(0)).expect("told"), None);
        assert_eq!(unnamed(&state, true, at(0)).expect("told"), Some(at(LONGEST)));
        assert_eq!(unnamed(&state, false, at(50)).expect("told"), Some(at(LONGEST)), "after the next start");
    }
}
