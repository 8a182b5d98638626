//! Walking the chain: on disk, and over an export with nothing else at hand.

use std::io::BufRead;

use serde::Deserialize;

use crate::chain::{Hash, link};
use crate::checkpoint::Checkpoint;

/// A chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// First position; above 0 when retention removed what was before.
    pub first: u64,
    /// Records walked.
    pub count: u64,
    /// The head.
    pub head: Hash,
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A record's bytes, or a hash, are not what was logged.
    #[error("record {0} was changed, or the hash of the one before it")]
    Changed(u64),
    /// Positions are missing.
    #[error("records {from} to {to} are missing")]
    Missing {
        /// First missing position.
        from: u64,
        /// Last missing position.
        to: u64,
    },
    /// Positions go back.
    #[error("record {0} is out of order")]
    Reordered(u64),
    /// A record its own id does not lead to: it would be taken again when delivered again.
    #[error("record {0} is not found by its id")]
    Unindexed(u64),
    /// A line of an export is none.
    #[error("line {line} cannot be read: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

/// A walk over a chain.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    first: Option<u64>,
    next: u64,
    head: Hash,
    acknowledged: Option<Checkpoint>,
}

impl Walk {
    /// A walk that has to begin and get where the checkpoint says. It may go on from there: records are
    /// appended meanwhile.
    pub(crate) fn to(acknowledged: Checkpoint) -> Self {
        let Checkpoint { first, before, .. } = acknowledged;
        Self { first: Some(first), next: first, head: before, acknowledged: Some(acknowledged) }
    }

    /// The position that has to come next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn step(&mut self, seq: u64, hash: Hash, bytes: &[u8]) -> Result<(), Broken> {
        let mut trusted = false;
        match self.first {
            // Where an export begins later, its first record's own hash is taken on trust: whoever keeps
            // an older export can check it.
            None => (self.first, trusted) = (Some(seq), seq > 0),
            Some(_) if seq > self.next => return Err(Broken::Missing { from: self.next, to: seq - 1 }),
            Some(_) if seq < self.next => return Err(Broken::Reordered(seq)),
            Some(_) => {}
        }
        if !trusted && link(self.head, seq, bytes) != hash {
            return Err(Broken::Changed(seq));
        }
        self.head = hash;
        self.next = seq + 1;
        match self.acknowledged {
            Some(goal) if goal.count == self.next && goal.head != hash => Err(Broken::Changed(seq)),
            _ => Ok(()),
        }
    }

    pub(crate) fn finish(self) -> Result<Verified, Broken> {
        if let Some(goal) = self.acknowledged
            && self.next < goal.count
        {
            return Err(Broken::Missing { from: self.next, to: goal.count - 1 });
        }
        let first = self.first.unwrap_or(0);
        Ok(Verified { first, count: self.next - first, head: self.head })
    }
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    hash: String,
    record: String,
}

/// Verifies an export (JSON lines, as `Log::export` makes them), offline.
///
/// # Errors
/// The first line that is unreadable, changed, missing or out of order.
pub fn verify_export(reader: impl BufRead) -> Result<Verified, Broken> {
    let mut walk = Walk::default();
    for (index, line) in reader.lines().enumerate() {
        let unreadable = |why: String| Broken::Line { line: index + 1, why };
        let text = line.map_err(|error| unreadable(error.to_string()))?;
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let hash = Hash::parse(&line.hash)
            .ok_or_else(|| unreadable("the hash is not 64 hexadecimal digits".into()))?;
        walk.step(line.seq, hash, line.record.as_bytes())?;
    }
    walk.finish()
}
