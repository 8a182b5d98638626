//! What the log cannot know of itself, found when the controller starts: that it is an older one than we had, and that
//! there were issuances a full disk did not take. Each becomes a record of its own.

use std::sync::PoisonError;

use outis_cluster::lease::{Fence, RENEW};
use outis_identity::LONGEST;
use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::{Record, RecordKind, Timestamp};
use outis_store::Checkpoint;
use tracing::error;

use super::house::House;
use super::parked::Parked;
use crate::mode::record;

/// By whom losses of the log itself are told: `outis store repair`, and we.
pub(crate) const STORE: &str = "outis:store";

/// Looks for losses and files them. Which certificates are out cannot be told then, and nothing under an older root may
/// be believed gone before the longest of them has ended.
pub(crate) async fn tell(house: &House, outside: Option<&str>, parked: &Parked) {
    let now = Timestamp::now();
    let found = [behind(outside, house.log.head()), parked.left()];
    let records: Vec<Record> = found.into_iter().flatten().map(|summary| loss(now, summary)).collect();
    if records.is_empty() {
        return;
    }
    let until = Timestamp::from_second(now.as_second() + LONGEST).unwrap_or(now);
    house.leaves.lock().unwrap_or_else(PoisonError::into_inner).unnamed(until);
    for record in &records {
        error!(id = %record.id, summary = record.summary, "The log is not whole");
    }
    match house.append(records.clone()).await {
        Ok(()) => parked.told().await,
        // With what else waits for the disk.
        Err(_) => parked.wait(records),
    }
}

/// Keeps the head outside the store, for the next start; never one that is behind a loss not yet told.
pub(crate) async fn keep_outside(house: &House, fence: &Fence) {
    loop {
        if house.keeps_records() {
            let head = house.log.head();
            fence.leave_word(format!("{} {}", head.count, head.head));
        }
        tokio::time::sleep(RENEW).await;
    }
}

/// Whether the log ends before the head that was kept outside, or the same record of it is another one.
fn behind(outside: Option<&str>, head: Checkpoint) -> Option<String> {
    let (count, hash) = outside?.split_once(' ')?;
    let count: u64 = count.parse().ok()?;
    let another = count == head.count && hash != head.head.to_string();
    match count > head.count || another {
        true if another => Some(format!(
            "the record log holds {count} records as before, but the last is another one: it was replaced"
        )),
        true => Some(format!(
            "the record log ends after {} records and had {count}: the store was replaced by an older or an empty one; \
             what came between is in no log here",
            head.count
        )),
        false => None,
    }
}

fn loss(now: Timestamp, summary: String) -> Record {
    let mut record = record(now, RecordKind::Loss, STORE, Subject::default());
    (record.summary, record.priority) = (summary, Priority::Critical);
    record
}

#[cfg(test)]
mod tests {
    use outis_store::Hash;

    use super::*;

    #[test]
    fn a_log_that_ends_before_what_was_kept_outside_was_replaced() {
        let head = |count| Checkpoint { count, ..Checkpoint::default() };
        let outside = |count| format!("{count} {}", Hash::default());
        assert_eq!(behind(None, head(0)), None, "the first start");
        assert_eq!(behind(Some("?"), head(5)), None, "not ours");
        assert_eq!(behind(Some(&outside(5)), head(5)), None);
        assert_eq!(behind(Some(&outside(5)), head(9)), None, "kept every few seconds, so it is older");
        let older = behind(Some(&outside(9)), head(5)).expect("found");
        assert!(older.contains("after 5 records and had 9"), "{older}");
        let other = behind(Some("5 1234"), head(5)).expect("found");
        assert!(other.contains("was replaced"), "{other}");
    }
}
