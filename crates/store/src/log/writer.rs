//! The writing thread: takes what waits, flushes once, writes the checkpoint, then answers.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jiff::civil::Date;
use outis_model::record::{Logged, Record};
use sled::Batch;
use tokio::sync::oneshot;

use super::{Shared, lock};
use crate::chain::{link, row};
use crate::checkpoint::{Checkpoint, Checkpoints};
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
    checkpoints: Checkpoints,
    head: Checkpoint,
    today: Option<Date>,
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
    pub(super) fn new(shared: Arc<Shared>, checkpoints: Checkpoints, head: Checkpoint) -> Self {
        Self { shared, checkpoints, head, today: None }
    }

    /// Until the last sender is gone.
    pub(super) fn run(mut self, receiver: &Receiver<Append>) {
        while let Ok(first) = receiver.recv() {
            let mut calls = vec![first];
            calls.extend(receiver.try_iter().take(GROUP - 1));
            let committed = self.commit(&calls);
            match committed {
                Ok(answers) => {
                    for (call, seqs) in calls.into_iter().zip(answers) {
                        let _ = call.answer.send(Ok(seqs));
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    let full = matches!(error, StoreError::Full(_));
                    for call in calls {
                        let again = match &error {
                            StoreError::Full(path) if full => StoreError::Full(path.clone()),
                            _ => StoreError::ReadOnly(text.clone()),
                        };
                        let _ = call.answer.send(Err(again));
                    }
                }
            }
        }
    }

    fn commit(&mut self, calls: &[Append]) -> Result<Vec<Vec<u64>>, StoreError> {
        let day = self.day(calls)?;
        let mut group = Group::default();
        let mut head = self.head;
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let mut seqs = Vec::with_capacity(call.records.len());
            for (record, bytes) in &call.records {
                seqs.push(self.place(&mut group, &mut head, record, bytes)?);
            }
            answers.push(seqs);
        }
        if !group.logged.is_empty() {
            let at = |error| StoreError::at(std::path::Path::new("log"), error);
            day.rows.apply_batch(group.rows).map_err(at)?;
            day.ids.apply_batch(group.ids).map_err(at)?;
            day.db.flush().map_err(at)?;
            self.checkpoints.write(head)?;
            self.head = head;
            *lock(&self.shared.head) = head;
            for logged in group.logged {
                // Nobody listening is no loss.
                let _ = self.shared.tail.send(logged);
            }
        }
        Ok(answers)
    }

    /// The day of the newest record; never a day before the one written last, so that positions and
    /// days keep the same order whatever the clocks say.
    fn day(&mut self, calls: &[Append]) -> Result<Day, StoreError> {
        let newest = calls.iter().flat_map(|call| &call.records).map(|(record, _)| day_of(record.time)).max();
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
        if let Some(seq) = self.known(id)? {
            return Ok(seq);
        }
        let seq = head.count;
        let hash = link(head.head, seq, bytes);
        group.rows.insert(&seq.to_be_bytes(), row(hash, bytes));
        group.ids.insert(&id, &seq.to_be_bytes());
        group.fresh.insert(id, seq);
        group.logged.push(Logged { seq, record: record.clone() });
        *head = Checkpoint { count: seq + 1, head: hash };
        Ok(seq)
    }

    fn known(&self, id: [u8; 16]) -> Result<Option<u64>, StoreError> {
        let mut days = lock(&self.shared.days);
        for date in days.list().into_iter().rev() {
            let found = days
                .day(date)?
                .ids
                .get(id)
                .map_err(|error| StoreError::at(std::path::Path::new("log"), error))?;
            if let Some(seq) = found {
                return super::position(&seq).map(Some);
            }
        }
        Ok(None)
    }
}
