//! The writing thread: takes what waits, flushes once, writes the checkpoint, then answers.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jiff::civil::Date;
use outis_model::record::{Logged, Record};
use sled::Batch;
use tokio::sync::oneshot;

use super::{Shared, lock};
use crate::chain::{link, row};
use crate::checkpoint::Checkpoint;
use crate::days::{Day, day_of};
use crate::error::StoreError;

/// Calls that are committed together at most.
const GROUP: usize = 512;

pub(super) struct Append {
    pub(super) records: Vec<(Record, Vec<u8>)>,
    pub(super) answer: oneshot::Sender<Result<Vec<u64>, StoreError>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    today: Option<Date>,
    /// The last group failed half-way: what sled holds in memory is not to be believed.
    failed: bool,
}

/// What a group will change, before it is on disk.
#[derive(Default)]
struct Group {
    rows: Batch,
    ids: Batch,
    logged: Vec<Logged>,
    /// Ids of this very group, not in any tree yet.
    fresh: std::collections::HashMap<[u8; 16], u64>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, today: None, failed: false }
    }

    /// Until the last sender is gone.
    pub(super) fn run(mut self, receiver: &Receiver<Append>) {
        while let Ok(first) = receiver.recv() {
            let mut calls = vec![first];
            calls.extend(receiver.try_iter().take(GROUP - 1));
            let committed = self.again().and_then(|()| self.commit(&calls));
            match committed {
                Ok(answers) => {
                    for (call, seqs) in calls.into_iter().zip(answers) {
                        let _ = call.answer.send(Ok(seqs));
                    }
                }
                Err(error) => {
                    self.failed = true;
                    tracing::error!(%error, calls = calls.len(), "The record log did not take a group");
                    for call in calls {
                        let again = match &error {
                            StoreError::Full(path) => StoreError::Full(path.clone()),
                            other => StoreError::ReadOnly(other.to_string()),
                        };
                        let _ = call.answer.send(Err(again));
                    }
                }
            }
        }
    }

    /// After a failure: lets go of the databases, reads them from disk and compares them with the
    /// checkpoint, as at the start. So a disk that has room again needs no restart, and a record whose
    /// id was taken in memory alone is not mistaken for one on disk.
    fn again(&mut self) -> Result<(), StoreError> {
        if !self.failed {
            return Ok(());
        }
        let mut checkpoints = lock(&self.shared.checkpoints);
        let mut days = lock(&self.shared.days);
        if !days.close() {
            return Err(StoreError::ReadOnly("a reader holds a database that failed; ask again".into()));
        }
        let acknowledged = *lock(&self.shared.head);
        let opened = crate::database::guarded(std::path::Path::new("log"), || {
            super::recover::recover(&mut days, Some(acknowledged))
        });
        match opened? {
            (_, Some(damage)) => return Err(StoreError::ReadOnly(damage)),
            (head, None) => {
                if head != acknowledged {
                    checkpoints.write(head)?;
                }
                *lock(&self.shared.head) = head;
            }
        }
        self.failed = false;
        Ok(())
    }

    fn commit(&mut self, calls: &[Append]) -> Result<Vec<Vec<u64>>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut checkpoints = lock(&shared.checkpoints);
        let mut group = Group::default();
        let mut head = *lock(&shared.head);
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let mut seqs = Vec::with_capacity(call.records.len());
            for (record, bytes) in &call.records {
                seqs.push(self.place(&mut group, &mut head, record, bytes)?);
            }
            answers.push(seqs);
        }
        if !group.logged.is_empty() {
            let day = self.day(calls)?;
            let at = |error| StoreError::at(std::path::Path::new("log"), error);
            day.rows.apply_batch(group.rows).map_err(at)?;
            day.ids.apply_batch(group.ids).map_err(at)?;
            day.db.flush()?;
            checkpoints.write(head)?;
            *lock(&shared.head) = head;
            for logged in group.logged {
                // Nobody listening is no loss.
                let _ = shared.tail.send(logged);
            }
        }
        Ok(answers)
    }

    /// The day of the newest record; never a day before the one written last, so that positions and
    /// days keep the same order whatever the clocks say, and never one that has not come: a node whose
    /// clock is years ahead would take every later record there with it, out of retention's reach.
    fn day(&mut self, calls: &[Append]) -> Result<Arc<Day>, StoreError> {
        let newest = calls.iter().flat_map(|call| &call.records).map(|(record, _)| day_of(record.time)).max();
        let newest = newest.map(|newest| newest.min(day_of(jiff::Timestamp::now())));
        let mut days = lock(&self.shared.days);
        if self.today.is_none() {
            self.today = days.list().last().copied();
        }
        let today = newest.into_iter().chain(self.today).max().unwrap_or(Date::ZERO);
        self.today = Some(today);
        days.day(today)
    }

    fn place(
        &self,
        group: &mut Group,
        head: &mut Checkpoint,
        record: &Record,
        bytes: &[u8],
    ) -> Result<u64, StoreError> {
        let id = record.id.to_bytes();
        if let Some(seq) = group.fresh.get(&id) {
            return Ok(*seq);
        }
        if let Some(seq) = self.known(record)? {
            return Ok(seq);
        }
        let seq = head.count;
        let hash = link(head.head, seq, bytes);
        group.rows.insert(&seq.to_be_bytes(), row(hash, bytes));
        group.ids.insert(&id, &seq.to_be_bytes());
        group.fresh.insert(id, seq);
        group.logged.push(Logged { seq, record: record.clone() });
        *head = Checkpoint { count: seq + 1, head: hash, ..*head };
        Ok(seq)
    }

    /// The place of a record that was delivered before. It was filed on its own day or a later one (the
    /// newest there was, or the first one that had come), so older days need not be opened.
    fn known(&self, record: &Record) -> Result<Option<u64>, StoreError> {
        let mut days = lock(&self.shared.days);
        let own = day_of(record.time).min(day_of(jiff::Timestamp::now()));
        for date in days.list().into_iter().rev().take_while(|date| *date >= own) {
            let found = days.day(date)?.ids.get(record.id.to_bytes());
            if let Some(seq) = found.map_err(|error| StoreError::at(std::path::Path::new("log"), error))? {
                return super::recover::position(&seq).map(Some);
            }
        }
        Ok(None)
    }
}
