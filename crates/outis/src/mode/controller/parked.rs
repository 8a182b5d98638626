//! Issuances while the disk takes no records: who was known goes on being renewed, its record waits here and is
//! counted; who was not gets nothing. A pod must not lose its identity because a disk is full, and nobody may get a
//! first one that is in no log.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use outis_model::alert::Priority;
use outis_model::name::PodUid;
use outis_model::port::Refusal;
use outis_model::record::Subject;
use outis_model::{Record, RecordKind, Timestamp};
use outis_store::Note;
use serde::{Deserialize, Serialize};

use super::house::{House, unavailable};
use crate::mode::record;

/// Records that wait at most; at the default lifetime that is a day of a thousand pods.
const WAITING: usize = 16_384;
/// Pods remembered at most.
const KNOWN: usize = 65_536;
/// How often a disk that said no is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What was issued and is not in the log yet.
pub(crate) struct Parked {
    waiting: Mutex<VecDeque<Record>>,
    /// How many and since when, on disk: a controller that ends takes along what waits, and the next one has to say so.
    note: Option<Arc<Note>>,
    before: Mutex<Option<Count>>,
    /// One write after another: an older count must not land behind a newer one.
    writing: tokio::sync::Mutex<()>,
}

/// Issuances that are in no log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    since: Timestamp,
    count: u64,
}

impl Parked {
    /// Finds what the controller before left waiting.
    pub(crate) async fn open(store: &Path) -> Result<Self> {
        let store = store.to_owned();
        let opened = tokio::task::spawn_blocking(move || Note::open(&store, "parked")).await;
        // A disk that is full already has no room for the note either: renewals go on without it.
        let (note, said) = match opened.context("the thread that opens the store ended")? {
            Ok((note, said)) => (Some(Arc::new(note)), said),
            Err(error) => {
                tracing::warn!(%error, "How many issuances wait for the disk cannot be noted");
                (None, None)
            }
        };
        let before = said.map(|said| {
            let unreadable = |error| {
                tracing::warn!(%error, said, "How many issuances waited cannot be read: counted as one");
                Count { since: Timestamp::now(), count: 1 }
            };
            serde_json::from_str(&said).unwrap_or_else(unreadable)
        });
        Ok(Self {
            waiting: Mutex::default(),
            note,
            before: Mutex::new(before),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// What is lost for good, in a sentence.
    pub(crate) fn left(&self) -> Option<String> {
        let left = lock(&self.before).clone()?;
        Some(format!(
            "{} issuances since {} are in no log: the disk was full, and the controller ended before there was room",
            left.count, left.since
        ))
    }

    /// What was left is in the log now.
    pub(crate) async fn told(&self) {
        *lock(&self.before) = None;
        self.write().await;
    }

    /// Lets records wait that are not issuances.
    pub(crate) fn wait(&self, records: Vec<Record>) {
        lock(&self.waiting).extend(records);
    }

    /// Writes how many issuances are in no log. Where even that cannot be written the pod gets its renewal all the same:
    /// it matters only if this controller ends before there is room.
    async fn write(&self) {
        let _writing = self.writing.lock().await;
        let waiting: Vec<Timestamp> = lock(&self.waiting)
            .iter()
            .filter(|record| record.kind == RecordKind::Issuance)
            .map(|record| record.time)
            .collect();
        let before = lock(&self.before).clone();
        let since =
            before.as_ref().map(|before| before.since).into_iter().chain(waiting.first().copied()).min();
        let count = before.map_or(0, |before| before.count) + waiting.len() as u64;
        let text =
            since.and_then(|since| serde_json::to_string(&Count { since, count }).ok()).unwrap_or_default();
        let Some(note) = self.note.clone() else { return };
        match tokio::task::spawn_blocking(move || note.write(&text)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "How many issuances wait for the disk cannot be noted"),
            Err(error) => tracing::warn!(%error, "How many issuances wait for the disk cannot be noted"),
        }
    }

    /// Puts an issuance into the log, or aside when it renews what the pod has already.
    pub(crate) async fn keep(&self, house: &House, pod: &PodUid, record: Record) -> Result<(), Refusal> {
        match house.append(vec![record.clone()]).await {
            Ok(()) => {
                remember(&mut lock(&house.known), pod);
                Ok(())
            }
            Err(error) if lock(&house.known).contains(pod) => {
                let waiting = {
                    let mut waiting = lock(&self.waiting);
                    if waiting.len() >= WAITING {
                        return Err(unavailable(error.into()));
                    }
                    waiting.push_back(record);
                    waiting.len()
                };
                house.count(&house.dropped, "issuances_parked");
                tracing::warn!(%pod, waiting, "Renewed; its record waits for the disk");
                self.write().await;
                Ok(())
            }
            Err(error) => Err(unavailable(error.into())),
        }
    }

    /// Files what waits, in the order it was issued. What cannot be filed goes on waiting.
    async fn file(&self, house: &House) {
        let taken: Vec<Record> = lock(&self.waiting).drain(..).collect();
        if taken.is_empty() {
            return;
        }
        match house.append(taken.clone()).await {
            // What was left from before waited in front of them.
            Ok(()) => self.told().await,
            Err(_) => {
                taken.into_iter().rev().for_each(|record| lock(&self.waiting).push_front(record));
                self.write().await;
            }
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
