//! What one worker remembers: the processes of its share of the node. Filled by `Exec`, `Fork`,
//! `Seen` and `Exit` events, bounded by number and bytes, told the time by events alone.

mod process;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use outis_model::event::{Ancestor, Event, What};

pub(crate) use process::{Image, Process};
use table::Table;

use crate::names::Knowledge;

/// Bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processes remembered at once.
    pub processes: usize,
    /// Bytes of text remembered of them.
    pub bytes: usize,
    /// How long an ended process is remembered, nanoseconds: events of it may still be on the way.
    pub linger: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 16_384, bytes: 24 << 20, linger: 5_000_000_000 }
    }
}

/// What a partition did and lost, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Events looked at.
    pub events: u64,
    /// Matches returned.
    pub matches: u64,
    /// Processes remembered now.
    pub processes: u64,
    /// Bytes of text remembered now.
    pub bytes: u64,
    /// Ended processes forgotten, as they should be.
    pub forgotten: u64,
    /// Live processes forgotten because a limit was reached. Rules that need their arguments see
    /// nothing of them from then on.
    pub evicted: u64,
    /// Events of processes nobody told of: only what the event itself carries was known.
    pub strangers: u64,
    /// Processes whose arguments were cut in the kernel.
    pub cut: u64,
}

/// A process for its whole life: ids are reused, an id with its start is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) pid: u32,
    pub(crate) start: u64,
}

/// The state of one worker.
#[derive(Debug)]
pub struct Partition {
    table: Table,
    ended: VecDeque<(u64, Key)>,
    limits: Limits,
    knowledge: Arc<Knowledge>,
    counters: Counters,
}

impl Default for Partition {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Partition {
    /// An empty partition.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            table: Table::default(),
            ended: VecDeque::new(),
            limits,
            knowledge: Arc::default(),
            counters: Counters::default(),
        }
    }

    /// Hands in what others know, in place of what was handed in before.
    pub fn know(&mut self, knowledge: Arc<Knowledge>) {
        self.knowledge = knowledge;
    }

    /// What it did and lost so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { processes: self.table.len() as u64, bytes: self.table.bytes() as u64, ..self.counters }
    }

    /// The process of an event, and its knowledge, for reading.
    pub(crate) fn view(&self, event: &Event) -> (Option<&Process>, &Knowledge) {
        (self.table.get(Key { pid: event.task.pid, start: event.task.start }), &self.knowledge)
    }

    /// What an ancestor runs now, as far as this partition has been told.
    pub(crate) fn image(&self, ancestor: &Ancestor) -> Option<&Image> {
        let key = Key { pid: ancestor.pid, start: ancestor.start };
        self.table.get(key).map(|process| &*process.image)
    }

    pub(crate) fn matched(&mut self, matches: usize) {
        self.counters.matches += matches as u64;
    }

    /// Takes an event in, before rules look at it.
    pub(crate) fn learn(&mut self, event: &Event) {
        self.counters.events += 1;
        self.forget(event.stamp);
        let key = Key { pid: event.task.pid, start: event.task.start };
        let former = self.table.touch(key);
        match &event.what {
            What::Exec(exec) if exec.result < 0 => self.counters.strangers += u64::from(former.is_none()),
            What::Exec(exec) | What::Seen(exec) => {
                let process = Process::executed(exec, &event.task, former);
                self.counters.cut += u64::from(exec.cut);
                self.put(key, process);
            }
            What::Fork(fork) => {
                let parent = fork.ancestors.first().and_then(|parent| {
                    self.table
                        .get(Key { pid: parent.pid, start: parent.start })
                        .map(|found| found.image.clone())
                });
                self.counters.cut += u64::from(fork.cut && parent.is_none());
                self.put(key, Process::forked(fork, &event.task, parent));
            }
            What::Exit { .. } if former.is_some() => self.ended.push_back((event.stamp, key)),
            What::Exit { .. } => {}
            What::Open(_) | What::Connect(_) | What::Accept(_) => {
                self.counters.strangers += u64::from(former.is_none());
            }
        }
    }

    fn put(&mut self, key: Key, process: Process) {
        self.table.insert(key, process);
        while self.table.len() > self.limits.processes.max(1) || self.table.bytes() > self.limits.bytes {
            let Some((_, ended)) = self.ended.pop_front() else {
                if !self.table.evict_oldest(key) {
                    return;
                }
                self.counters.evicted += 1;
                continue;
            };
            self.counters.forgotten += u64::from(ended != key && self.table.remove(ended));
        }
    }

    /// Events of several CPUs arrive slightly out of order, so the time goes by the newest stamp.
    fn forget(&mut self, now: u64) {
        while let Some((ended, key)) = self.ended.front().copied()
            && (now.saturating_sub(ended) > self.limits.linger || self.ended.len() > self.limits.processes)
        {
            self.ended.pop_front();
            self.counters.forgotten += u64::from(self.table.remove(key));
        }
    }
}
