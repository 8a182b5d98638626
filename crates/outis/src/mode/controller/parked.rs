//! Issuances while the disk takes no records: who was known goes on being renewed, its record waits here and is
//! counted; who was not gets nothing. A pod must not lose its identity because a disk is full, and nobody may get a
//! first one that is in no log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outis_model::alert::Priority;
use outis_model::name::PodUid;
use outis_model::port::Refusal;
use outis_model::record::Subject;
use outis_model::{Record, RecordKind, Timestamp};

use super::house::{House, unavailable};
use crate::mode::record;

/// Records that wait at most; at the default lifetime that is a day of a thousand pods.
const WAITING: usize = 16_384;
/// Pods remembered at most.
const KNOWN: usize = 65_536;
/// How often a disk that said no is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What was issued and is not in the log yet.
#[derive(Default)]
pub(crate) struct Parked {
    waiting: Mutex<VecDeque<Record>>,
}

impl Parked {
    /// Puts an issuance into the log, or aside when it renews what the pod has already.
    pub(crate) async fn keep(&self, house: &House, pod: &PodUid, record: Record) -> Result<(), Refusal> {
        match house.append(vec![record.clone()]).await {
            Ok(()) => {
                remember(&mut lock(&house.known), pod);
                Ok(())
            }
            Err(error) if lock(&house.known).contains(pod) => {
                let mut waiting = lock(&self.waiting);
                if waiting.len() >= WAITING {
                    return Err(unavailable(error.into()));
                }
                house.count(&house.dropped, "issuances_parked");
                waiting.push_back(record);
                tracing::warn!(%pod, waiting = waiting.len(), "Renewed; its record waits for the disk");
                Ok(())
            }
            Err(error) => Err(unavailable(error.into())),
        }
    }

    /// Files what waits, in the order it was issued. What cannot be filed goes on waiting.
    async fn file(&self, house: &House) {
        let taken: Vec<Record> = lock(&self.waiting).drain(..).collect();
        if !taken.is_empty() && house.append(taken.clone()).await.is_err() {
            let mut waiting = lock(&self.waiting);
            taken.into_iter().rev().for_each(|record| waiting.push_front(record));
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A full memory begins anew: who is forgotten is known again with its next record on disk.
fn remember(known: &mut BTreeSet<PodUid>, pod: &PodUid) {
    if known.len() >= KNOWN && !known.contains(pod) {
        known.clear();
    }
    known.insert(pod.clone());
}

/// While the log takes nothing, asks it again and again with a record that says so; then files what waited.
pub(crate) async fn filing(house: Arc<House>, parked: Arc<Parked>) {
    let mut since = None;
    loop {
        tokio::time::sleep(AGAIN).await;
        if house.keeps_records() && lock(&parked.waiting).is_empty() {
            continue;
        }
        let since_when = *since.get_or_insert_with(Timestamp::now);
        let mut again =
            record(Timestamp::now(), RecordKind::Component, "outis:controller", Subject::default());
        again.summary = format!("the log takes records again; it did not since {since_when}");
        again.priority = Priority::Warning;
        if house.append(vec![again]).await.is_ok() {
            parked.file(&house).await;
            since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_are_remembered_are_bounded() {
        let mut known = BTreeSet::new();
        for number in 0..KNOWN + 2 {
            remember(&mut known, &format!("pod-{number}").parse().expect("uid"));
        }
        assert_eq!(known.len(), 2);
        remember(&mut known, &format!("pod-{}", KNOWN + 1).parse().expect("uid"));
        assert_eq!(known.len(), 2);
    }
}
