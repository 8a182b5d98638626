//! Reading. Everything here blocks on the disk: from async code, through `spawn_blocking`. No lock is held
//! while a day is read, so that a long walk does not stop the writer.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use outis_model::record::{Logged, RecordId};

use super::recover::{decode, position, short};
use super::{Log, Query, lock};
use crate::chain::split;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::days::{Day, Days, day_of};
use crate::error::StoreError;
use crate::verify::{Broken, Verified, Walk};

/// Rows that a backup writes before it flushes.
const CHUNK: usize = 4096;

impl Log {
    /// One record by its id.
    ///
    /// # Errors
    /// The disk said no, or the row is damaged.
    pub fn get(&self, id: RecordId) -> Result<Option<Logged>, StoreError> {
        // An id holds the time it was drawn at; a record is filed on that day or a little later.
        let milliseconds = u64::from_be_bytes(id.to_bytes()[..8].try_into().expect("8 of 16 bytes")) >> 16;
        let drawn = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let (before, since): (Vec<_>, Vec<_>) =
            self.dates().into_iter().partition(|date| drawn.is_some_and(|at| *date < day_of(at)));
        for date in since.into_iter().chain(before.into_iter().rev()) {
            let Some(day) = self.day(date)? else { continue };
            let Some(seq) = day.ids.get(id.to_bytes()).map_err(|error| self.at(error))? else { continue };
            let Some(row) = day.rows.get(&seq).map_err(|error| self.at(error))? else { continue };
            return decode(&seq, &row).map(Some);
        }
        Ok(None)
    }

    /// Records in order of position that `takes` lets pass: from a position on, else the newest.
    ///
    /// # Errors
    /// The disk said no, or a row is damaged.
    pub fn range(&self, query: &Query, takes: impl Fn(&Logged) -> bool) -> Result<Vec<Logged>, StoreError> {
        let mut found = Vec::new();
        let mut dates = self.dates();
        if query.from.is_none() {
            dates.reverse();
        }
        for date in dates {
            if found.len() >= query.limit
                || (query.from.is_none() && query.since.is_some_and(|at| date < day_of(at)))
            {
                break;
            }
            let Some(day) = self.day(date)? else { continue };
            let rows: Box<dyn Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>> = match query.from {
                Some(from) => Box::new(day.rows.range(from.to_be_bytes()..)),
                None => Box::new(day.rows.iter().rev()),
            };
            for row in rows {
                let (seq, row) = row.map_err(|error| self.at(error))?;
                let logged = decode(&seq, &row)?;
                if query.since.is_none_or(|since| logged.record.time >= since) && takes(&logged) {
                    found.push(logged);
                    if found.len() >= query.limit {
                        break;
                    }
                }
            }
        }
        found.sort_unstable_by_key(|logged| logged.seq);
        Ok(found)
    }

    /// The lines of an export, from a position on: position, hash and bytes of each record.
    ///
    /// # Errors
    /// The disk said no, or a row is too short to be one.
    pub fn export(&self, from: u64, limit: usize) -> Result<Vec<serde_json::Value>, StoreError> {
        let mut lines = Vec::new();
        for date in self.dates() {
            if lines.len() >= limit {
                break;
            }
            let Some(day) = self.day(date)? else { continue };
            for row in day.rows.range(from.to_be_bytes()..).take(limit.saturating_sub(lines.len())) {
                let (seq, row) = row.map_err(|error| self.at(error))?;
                let (seq, (hash, bytes)) = (position(&seq)?, split(&row).ok_or_else(|| short(&seq))?);
                let text = String::from_utf8_lossy(bytes);
                lines.push(serde_json::json!({"seq": seq, "hash": hash.to_string(), "record": text}));
            }
        }
        Ok(lines)
    }

    /// Walks everything, from the record that retention left to the acknowledged head, and recomputes
    /// every hash.
    ///
    /// # Errors
    /// The disk said no, or rows cannot be read at all; inside, the first record that is changed, missing
    /// or out of order.
    pub fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        self.walk(|_, _, _| Ok(Ok(())))
    }

    /// Everything `verify` does, and that each record is found by its id.
    ///
    /// # Errors
    /// As `verify`.
    pub fn check(&self) -> Result<Result<Verified, Broken>, StoreError> {
        self.walk(|day, key, row| {
            let id = decode(key, row)?.record.id.to_bytes();
            let found = day.ids.get(id).map_err(|error| self.at(error))?;
            Ok(if found.is_some_and(|found| found == key) {
                Ok(())
            } else {
                Err(Broken::Unindexed(position(key)?))
            })
        })
    }

    /// Copies the log as it is now into an empty directory, verifying it on the way; gives the head of
    /// the copy. The copy is a store as any other: restoring is putting it in place.
    ///
    /// # Errors
    /// The target is not empty, the disk said no, the log is damaged, or days expired meanwhile.
    pub fn backup(&self, to: &Path) -> Result<Checkpoint, StoreError> {
        let goal = self.head();
        if to.join("log").exists() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(StoreError::Io { what: "back up into", path: to.join("log"), source });
        }
        crate::claim(to)?;
        let mut copies = Days::open(&to.join("log"))?;
        let mut walk = Walk::to(goal);
        for date in self.dates() {
            let Some(day) = self.day(date)? else { continue };
            let copy = copies.day(date)?;
            for (at, row) in day.rows.iter().enumerate() {
                let (key, row) = row.map_err(|error| self.at(error))?;
                let seq = position(&key)?;
                if seq < goal.first || seq >= goal.count {
                    continue;
                }
                let (hash, bytes) = split(&row).ok_or_else(|| short(&key))?;
                walk.step(seq, hash, bytes).map_err(|broken| StoreError::Damaged(broken.to_string()))?;
                let written = copy.ids.insert(decode(&key, &row)?.record.id.to_bytes(), &key);
                let written = written.and_then(|_| copy.rows.insert(&key, &row));
                written.map_err(|error| StoreError::at(to, error))?;
                if at % CHUNK == 0 {
                    copy.db.flush()?;
                }
            }
            copy.db.flush()?;
        }
        walk.finish().map_err(|broken| StoreError::Damaged(broken.to_string()))?;
        Checkpoints::open(to)?.0.write(goal)?;
        Ok(goal)
    }

    fn walk(
        &self,
        also: impl Fn(&Day, &[u8], &[u8]) -> Result<Result<(), Broken>, StoreError>,
    ) -> Result<Result<Verified, Broken>, StoreError> {
        loop {
            let goal = self.head();
            let found = crate::database::guarded(&self.path, || self.walk_to(goal, &also))?;
            // Days that expired under the walk are no loss: begin again behind them.
            if found.is_ok() || self.head().first == goal.first {
                return Ok(found);
            }
        }
    }

    fn walk_to(
        &self,
        goal: Checkpoint,
        also: &impl Fn(&Day, &[u8], &[u8]) -> Result<Result<(), Broken>, StoreError>,
    ) -> Result<Result<Verified, Broken>, StoreError> {
        let mut walk = Walk::to(goal);
        for date in self.dates() {
            let Some(day) = self.day(date)? else { continue };
            for row in &day.rows {
                let (key, row) = row.map_err(|error| {
                    StoreError::Damaged(format!(
                        "record {} or one behind it cannot be read: {}",
                        walk.next(),
                        crate::error::plain(&error)
                    ))
                })?;
                let seq = position(&key)?;
                if seq < goal.first {
                    continue;
                }
                let (hash, bytes) = split(&row).ok_or_else(|| short(&key))?;
                let step = match walk.step(seq, hash, bytes) {
                    // What is behind the goal is on its way to the disk, ids after rows.
                    Ok(()) if seq < goal.count => also(&day, &key, &row)?,
                    other => other,
                };
                if let Err(broken) = step {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(walk.finish())
    }

    fn dates(&self) -> Vec<jiff::civil::Date> {
        lock(&self.shared.days).list()
    }

    fn day(&self, date: jiff::civil::Date) -> Result<Option<Arc<Day>>, StoreError> {
        lock(&self.shared.days).read(date)
    }

    fn at(&self, error: sled::Error) -> StoreError {
        StoreError::at(&self.path, error)
    }
}
