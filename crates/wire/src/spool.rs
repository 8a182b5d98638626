//! Where reports wait. The trait is what the uplink needs; [`MemorySpool`] keeps them in memory, within a
//! bound, for components without a disk. What is on disk survives a restart, what is in memory does not: a
//! component with a memory spool has a new spool id at each start.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::message::Class;

/// A row of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A report.
    Report {
        /// Its number.
        seq: u64,
        /// Its class.
        class: Class,
        /// JSON of the report.
        bytes: Vec<u8>,
    },
    /// Reports that had to go.
    Gap {
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
}

impl Entry {
    /// First number the row stands for.
    #[must_use]
    pub fn first(&self) -> u64 {
        match self {
            Self::Report { seq, .. } => *seq,
            Self::Gap { from, .. } => *from,
        }
    }

    /// Last number the row stands for.
    #[must_use]
    pub fn last(&self) -> u64 {
        match self {
            Self::Report { seq, .. } => *seq,
            Self::Gap { to, .. } => *to,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Report { bytes, .. } => bytes.len(),
            Self::Gap { .. } => 0,
        }
    }
}

/// The spool cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpoolError(pub String);

/// Keeps reports until they are stored elsewhere. Numbers are contiguous and never used twice. Calls may
/// wait for a disk; they are made from threads that may.
pub trait Spool: Send + Sync {
    /// Drawn when the spool was made; at most 64 characters.
    fn id(&self) -> String;

    /// Adds reports; on return they are as durable as this spool gets, under the numbers returned. Room is
    /// made by turning the oldest of the least class into gaps, never by refusing.
    ///
    /// # Errors
    /// None of them is kept.
    fn push(&self, reports: Vec<(Class, Vec<u8>)>) -> Result<Range<u64>, SpoolError>;

    /// The rows whose last number is `from` or later, oldest first, at most `limit` and about `bytes`.
    ///
    /// # Errors
    /// The rows cannot be read.
    fn peek(&self, from: u64, limit: usize, bytes: usize) -> Result<Vec<Entry>, SpoolError>;

    /// Everything up to and including this number is stored elsewhere.
    ///
    /// # Errors
    /// The rows cannot be removed; they will be sent again.
    fn ack(&self, up_to: u64) -> Result<(), SpoolError>;

    /// The number the next report will have.
    fn next(&self) -> u64;
}

/// How much a [`MemorySpool`] holds.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Reports.
    pub entries: usize,
    /// Bytes of reports.
    pub bytes: usize,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { entries: 20_000, bytes: 16 << 20 }
    }
}

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    bytes: usize,
    lost: u64,
    /// By last number.
    rows: BTreeMap<u64, Entry>,
    /// Numbers per class, oldest first; those no longer held are skipped when met.
    order: [VecDeque<u64>; 3],
    reports: usize,
}

/// A bounded spool in memory.
#[derive(Debug)]
pub struct MemorySpool {
    id: String,
    limits: SpoolLimits,
    rows: Mutex<Rows>,
}

impl MemorySpool {
    /// An empty spool. The id has to be new: draw it at random.
    #[must_use]
    pub fn new(id: String, limits: SpoolLimits) -> Self {
        Self { id, limits, rows: Mutex::default() }
    }

    /// Reports and bytes that wait, and reports lost since the start.
    #[must_use]
    pub fn depth(&self) -> (usize, usize, u64) {
        let rows = self.lock();
        (rows.reports, rows.bytes, rows.lost)
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn push(&mut self, class: Class, bytes: Vec<u8>) {
        let seq = self.next;
        self.next += 1;
        self.bytes += bytes.len();
        self.reports += 1;
        self.order[class as usize].push_back(seq);
        self.rows.insert(seq, Entry::Report { seq, class, bytes });
    }

    /// The oldest report of the least class gives way to a gap, joined with its neighbours.
    fn drop_one(&mut self) {
        let Some(victim) = self.victim() else { return };
        self.remove(victim);
        self.lost += 1;
        let (mut from, mut to) = (victim, victim);
        if let Some((_, Entry::Gap { from: f, to: t })) = self.rows.range(..victim).next_back()
            && t + 1 == victim
        {
            from = *f;
        }
        // A gap before is keyed by the number before; it is part of the new one.
        if from < victim {
            self.rows.remove(&(victim - 1));
        }
        if let Some((_, Entry::Gap { from: f, to: t })) = self.rows.range(victim..).next()
            && *f == victim + 1
        {
            to = *t;
        }
        self.rows.insert(to, Entry::Gap { from, to });
    }

    fn victim(&mut self) -> Option<u64> {
        let rows = &self.rows;
        self.order.iter_mut().find_map(|order| {
            std::iter::from_fn(|| order.pop_front())
                .find(|seq| matches!(rows.get(seq), Some(Entry::Report { seq: held, .. }) if held == seq))
        })
    }

    fn remove(&mut self, key: u64) {
        if let Some(entry) = self.rows.remove(&key) {
            self.bytes -= entry.size();
            self.reports -= usize::from(matches!(entry, Entry::Report { .. }));
        }
    }
}

impl Spool for MemorySpool {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn push(&self, reports: Vec<(Class, Vec<u8>)>) -> Result<Range<u64>, SpoolError> {
        let mut rows = self.lock();
        let first = rows.next;
        for (class, bytes) in reports {
            rows.push(class, bytes);
            while rows.reports > self.limits.entries || rows.bytes > self.limits.bytes {
                rows.drop_one();
            }
        }
        Ok(first..rows.next)
    }

    fn peek(&self, from: u64, limit: usize, bytes: usize) -> Result<Vec<Entry>, SpoolError> {
        let rows = self.lock();
        let mut size = 0;
        let fits = |entry: &&Entry| {
            size += entry.size();
            size <= bytes || size == entry.size()
        };
        Ok(rows.rows.range(from..).map(|(_, entry)| entry).take(limit).take_while(fits).cloned().collect())
    }

    fn ack(&self, up_to: u64) -> Result<(), SpoolError> {
        let mut rows = self.lock();
        let keys: Vec<u64> = rows.rows.range(..=up_to).map(|(key, _)| *key).collect();
        for key in keys {
            rows.remove(key);
        }
        for order in &mut rows.order {
            while order.front().is_some_and(|seq| *seq <= up_to) {
                order.pop_front();
            }
        }
        Ok(())
    }

    fn next(&self) -> u64 {
        self.lock().next
    }
}

#[cfg(test)]
mod tests;
