//! Reports that wait on an agent's disk until the controller has them on its own.
//!
//! Rows are keyed by their last sequence number. A row is a report, or the gap that dropped reports left:
//! so the sequence is contiguous for the receiver, and every loss has its exact count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::database::{Database, Held, guarded};
use crate::error::StoreError;
use crate::log::lock;

/// Cache of the spool.
const CACHE_MIB: u64 = 4;

/// What goes first when there is no room: the oldest of the least class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Superseded by the next of its kind: health, aggregates.
    Mergeable,
    /// Decisions and issuances.
    Decision,
    /// Detections and losses: dropped last.
    Detection,
}

/// How much a spool holds.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Rows.
    pub entries: usize,
    /// Bytes of reports.
    pub bytes: usize,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 64 << 20 }
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A report.
    Report {
        /// Its sequence number.
        seq: u64,
        /// Its class.
        class: Class,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Reports that had to go, for want of room: nothing else makes a gap.
    Gap {
        /// First sequence number.
        from: u64,
        /// Last sequence number.
        to: u64,
    },
}

impl Entry {
    /// The last sequence number the row stands for.
    #[must_use]
    pub fn last(&self) -> u64 {
        match self {
            Self::Report { seq, .. } => *seq,
            Self::Gap { to, .. } => *to,
        }
    }
}

struct Inner {
    db: Database,
    next: u64,
    entries: usize,
    bytes: usize,
    lost: u64,
    /// Reports in the order in which they would go.
    order: BTreeSet<(Class, u64)>,
}

/// What a failure leaves: what sled then holds in memory is not to be believed by a writer, and is read from disk again
/// as soon as there is room, without a restart. Until then readers see what was acknowledged.
struct Slot {
    inner: Held<Inner>,
    next: u64,
    depth: (usize, usize, u64),
}

/// A spool. Clones share it.
#[derive(Clone)]
pub struct Spool {
    slot: Arc<Mutex<Slot>>,
    limits: SpoolLimits,
    path: PathBuf,
}

impl Spool {
    /// Opens or creates the spool in `dir`.
    ///
    /// # Errors
    /// Locked, newer, damaged, or the disk said no.
    pub fn open(dir: &Path, limits: SpoolLimits) -> Result<Self, StoreError> {
        crate::claim(dir)?;
        let inner = Inner::open(dir, Database::open)?;
        let slot = Slot { next: inner.next, depth: inner.depth(), inner: Held::new(inner) };
        Ok(Self { slot: Arc::new(Mutex::new(slot)), limits, path: dir.into() })
    }

    /// Writes.
    fn write<T>(&self, work: impl FnOnce(&mut Inner) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let slot = &mut *lock(&self.slot);
        let lost = slot.depth.2;
        let inner = slot.inner.sound_or_open(&self.path, || self.again(lost))?;
        match work(inner) {
            Ok(done) => {
                (slot.next, slot.depth) = (inner.next, inner.depth());
                Ok(done)
            }
            Err(error) => {
                slot.inner.failed = true;
                Err(error)
            }
        }
    }

    fn again(&self, lost: u64) -> Result<Inner, StoreError> {
        let mut inner = Inner::open(&self.path, Database::open_again)?;
        // Losses of a gap that was acknowledged since are in no row any more.
        inner.lost = inner.lost.max(lost);
        Ok(inner)
    }

    /// Adds reports; their sequence numbers are final, and on disk, when this returns.
    ///
    /// # Errors
    /// The disk said no: then nothing of this call is promised; pushing it again is right, since records
    /// that arrive twice are kept once.
    pub fn push(&self, reports: &[(Class, Vec<u8>)]) -> Result<std::ops::Range<u64>, StoreError> {
        self.write(|inner| inner.push(reports, &self.limits, &self.path))
    }

    /// The oldest rows, at most `limit` and about `bytes` of them.
    ///
    /// # Errors
    /// The disk said no, or a row cannot be read.
    pub fn peek(&self, from: u64, limit: usize, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let slot = &mut *lock(&self.slot);
        let lost = slot.depth.2;
        let inner = slot.inner.or_open(|| self.again(lost))?;
        let mut size = 0;
        let mut found = Vec::new();
        // What a failed call left behind the last number that was given out is on no disk.
        for row in inner.db.range(from.to_be_bytes()..slot.next.to_be_bytes()).take(limit) {
            let (_, value) = row.map_err(|error| StoreError::at(&self.path, error))?;
            size += value.len();
            if size > bytes && !found.is_empty() {
                break;
            }
            found.push(read(&value)?);
        }
        Ok(found)
    }

    /// The receiver has everything up to and including this sequence number.
    ///
    /// # Errors
    /// The disk said no.
    pub fn acknowledge(&self, up_to: u64) -> Result<(), StoreError> {
        self.write(|inner| inner.acknowledge(up_to, &self.path))
    }

    /// The sequence number the next report gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        lock(&self.slot).next
    }

    /// Rows and bytes that wait, and reports lost: since the spool was opened, and in gaps it held then.
    #[must_use]
    pub fn depth(&self) -> (usize, usize, u64) {
        lock(&self.slot).depth
    }
}

impl Inner {
    fn open(
        dir: &Path,
        database: impl Fn(&Path, u64) -> Result<Database, StoreError>,
    ) -> Result<Self, StoreError> {
        let db = database(&dir.join("spool"), CACHE_MIB)?;
        guarded(dir, || Self::load(dir, db))
    }

    fn load(dir: &Path, db: Database) -> Result<Self, StoreError> {
        let at = |error| StoreError::at(dir, error);
        let mut inner = Self { next: 0, entries: 0, bytes: 0, lost: 0, order: BTreeSet::new(), db };
        for row in inner.db.iter() {
            let (_, value) = row.map_err(at)?;
            inner.entries += 1;
            inner.bytes += value.len();
            match read(&value)? {
                Entry::Gap { from, to } => inner.lost += to - from + 1,
                Entry::Report { seq, class, .. } => drop(inner.order.insert((class, seq))),
            }
        }
        let meta = inner.db.open_tree("meta").map_err(at)?;
        let mark = meta
            .get("next")
            .map_err(at)?
            .and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        let last = inner.db.last().map_err(at)?.map(|(_, value)| read(&value)).transpose()?;
        inner.next = mark.unwrap_or(0).max(last.map_or(0, |entry| entry.last() + 1));
        Ok(inner)
    }

    fn depth(&self) -> (usize, usize, u64) {
        (self.entries, self.bytes, self.lost)
    }

    fn push(
        &mut self,
        reports: &[(Class, Vec<u8>)],
        limits: &SpoolLimits,
        path: &Path,
    ) -> Result<std::ops::Range<u64>, StoreError> {
        let at = |error| StoreError::at(path, error);
        let first = self.next;
        let mut batch = sled::Batch::default();
        let mut bytes = 0;
        for (seq, (class, report)) in (first..).zip(reports) {
            let value = write(&Entry::Report { seq, class: *class, bytes: report.clone() });
            bytes += value.len();
            batch.insert(&seq.to_be_bytes(), value);
        }
        self.db.apply_batch(batch).map_err(at)?;
        self.order.extend((first..).zip(reports).map(|(seq, (class, _))| (*class, seq)));
        self.next = first + reports.len() as u64;
        self.entries += reports.len();
        self.bytes += bytes;
        while self.entries > limits.entries || self.bytes > limits.bytes {
            if !self.drop_one().map_err(at)? {
                break;
            }
        }
        self.db.flush()?;
        Ok(first..self.next)
    }

    fn acknowledge(&mut self, up_to: u64, path: &Path) -> Result<(), StoreError> {
        let at = |error| StoreError::at(path, error);
        let rows: Vec<_> = self.db.range(..=up_to.to_be_bytes()).collect::<Result<_, _>>().map_err(at)?;
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            self.forget(&value);
            if let Entry::Report { seq, class, .. } = read(&value)? {
                self.order.remove(&(class, seq));
            }
            batch.remove(key);
        }
        // A gap that grew while the acknowledgement was on its way: what it covers of that is known.
        let behind = self.db.get_gt(up_to.to_be_bytes()).map_err(at)?;
        if let Some((key, value)) = behind
            && let Entry::Gap { from, to } = read(&value)?
            && from <= up_to
        {
            batch.insert(key, write(&Entry::Gap { from: up_to + 1, to }));
        }
        // An empty spool must not begin again at 0 after a restart: the receiver would take new
        // reports for old ones.
        let meta = self.db.open_tree("meta").map_err(at)?;
        meta.insert("next", &self.next.to_be_bytes()).map_err(at)?;
        self.db.apply_batch(batch).map_err(at)?;
        self.db.flush()
    }

    /// Drops the oldest report of the least class; its place is taken by a gap, joined with a gap before
    /// or behind it. False when only gaps are left.
    fn drop_one(&mut self) -> sled::Result<bool> {
        let Some((_, victim)) = self.order.pop_first() else { return Ok(false) };
        let mut gap = (victim, victim);
        let key = victim.to_be_bytes();
        let mut batch = sled::Batch::default();
        let before = self.db.get_lt(key)?;
        let behind = self.db.get_gt(key)?;
        for neighbour in [before, behind].into_iter().flatten() {
            if let Ok(Entry::Gap { from, to }) = read(&neighbour.1) {
                gap = (gap.0.min(from), gap.1.max(to));
                self.forget(&neighbour.1);
                batch.remove(neighbour.0);
            }
        }
        if let Some(old) = self.db.get(key)? {
            self.forget(&old);
        }
        let value = write(&Entry::Gap { from: gap.0, to: gap.1 });
        self.entries += 1;
        self.bytes += value.len();
        batch.remove(&key);
        batch.insert(&gap.1.to_be_bytes(), value);
        self.lost += 1;
        self.db.apply_batch(batch)?;
        Ok(true)
    }

    fn forget(&mut self, value: &[u8]) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(value.len());
    }
}

/// One tag byte, numbers big-endian, then the report's bytes as they are.
fn write(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Report { seq, class, bytes } => {
            let tag = match class {
                Class::Mergeable => 0,
                Class::Decision => 1,
                Class::Detection => 2,
            };
            [&[tag][..], &seq.to_be_bytes(), bytes].concat()
        }
        Entry::Gap { from, to } => [&[9][..], &from.to_be_bytes(), &to.to_be_bytes()].concat(),
    }
}

fn read(value: &[u8]) -> Result<Entry, StoreError> {
    let bad = || StoreError::Damaged("a row of the spool cannot be read".into());
    let (tag, rest) = value.split_first().ok_or_else(bad)?;
    let (number, bytes) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
    let seq = u64::from_be_bytes(*number);
    let class = match tag {
        0 => Class::Mergeable,
        1 => Class::Decision,
        2 => Class::Detection,
        9 => {
            let to = bytes.first_chunk::<8>().ok_or_else(bad)?;
            return Ok(Entry::Gap { from: seq, to: u64::from_be_bytes(*to) });
        }
        _ => return Err(bad()),
    };
    Ok(Entry::Report { seq, class, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests;
