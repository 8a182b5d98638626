//! The record log: one writing thread, group commit, many readers.

mod read;
mod recover;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use outis_model::record::{Logged, Record};
use tokio::sync::{broadcast, oneshot};

use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::days::{Days, day_of};
use crate::error::StoreError;
use writer::{Append, Writer};

/// The longest record taken.
const RECORD: usize = 256 << 10;
/// Appends that may wait.
const WAITING: usize = 4096;
/// Records a slow reader of the tail may be behind.
const BEHIND: usize = 4096;

/// How to open a log.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Take a log that is shorter than its checkpoint, or has another head: the chain goes on from the
    /// checkpoint, so the gap stays visible to every `verify`.
    pub accept_loss: bool,
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// From this position on; else the newest.
    pub from: Option<u64>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

pub(crate) struct Shared {
    pub(crate) days: Mutex<Days>,
    pub(crate) tail: broadcast::Sender<Logged>,
    pub(crate) head: Mutex<Checkpoint>,
    /// Whoever changes what is on disk holds this; taken before `days`.
    pub(crate) checkpoints: Mutex<Checkpoints>,
}

/// The record log. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    writer: Option<Arc<Handle>>,
    damage: Option<String>,
    path: PathBuf,
}

struct Handle {
    sender: Option<SyncSender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    /// The last owner waits until what was taken is on disk and sled has let go of its lock.
    fn drop(&mut self) {
        self.sender.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Log {
    /// Opens or creates the log in `dir` and compares it with its checkpoint.
    ///
    /// # Errors
    /// Locked, newer, or not readable at all. A log that lost something acknowledged opens, but
    /// `damage` tells and appends are refused.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        crate::claim(dir)?;
        let mut days = Days::open(&dir.join("log"))?;
        let (mut checkpoints, acknowledged) = Checkpoints::open(dir)?;
        let (head, damage) = crate::database::guarded(dir, || recover::recover(&mut days, acknowledged))?;
        if acknowledged != Some(head) && damage.is_none() {
            // From now on a log without a checkpoint is one that lost it, and what was found behind an older one is
            // what a sender that comes again is told to be kept.
            checkpoints.write(head)?;
        }
        let damage = damage.filter(|_| !options.accept_loss);
        let shared = Arc::new(Shared {
            days: Mutex::new(days),
            tail: broadcast::channel(BEHIND).0,
            head: Mutex::new(head),
            checkpoints: Mutex::new(checkpoints),
        });
        let writer = match damage {
            Some(_) => None,
            None => Some(Arc::new(start(Writer::new(Arc::clone(&shared)))?)),
        };
        Ok(Self { shared, writer, damage, path: dir.into() })
    }

    /// Why the log takes no records, if it does not.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Appends records; returns their positions when they are on disk. A record whose id is in the log
    /// already keeps its place.
    ///
    /// # Errors
    /// Read-only, too long, or the disk said no: then nothing of this call is acknowledged.
    pub async fn append(&self, records: Vec<Record>) -> Result<Vec<u64>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let append = Append { records: encode(records)?, answer };
        let Some(handle) = &self.writer else {
            return Err(StoreError::ReadOnly(self.damage.clone().unwrap_or_default()));
        };
        let sender = handle.sender.clone().ok_or(StoreError::Closing)?;
        // The channel is bounded; a full one blocks, so it may not be an async thread that waits.
        let sent = match sender.try_send(append) {
            Ok(()) => true,
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => false,
            Err(std::sync::mpsc::TrySendError::Full(append)) => {
                tokio::task::spawn_blocking(move || sender.send(append).is_ok()).await.unwrap_or(false)
            }
        };
        if !sent {
            return Err(StoreError::Closing);
        }
        answered.await.map_err(|_| StoreError::Closing)?
    }

    /// What is appended from now on. A reader that is too slow is told how many it missed.
    #[must_use]
    pub fn tail(&self) -> broadcast::Receiver<Logged> {
        self.shared.tail.subscribe()
    }

    /// The head: how many records, and the hash of the last.
    #[must_use]
    pub fn head(&self) -> Checkpoint {
        *lock(&self.shared.head)
    }

    /// Removes whole days before the one `at` belongs to; gives how many. The checkpoint says first
    /// where the log begins from now on, so that a day somebody else removed is missed.
    ///
    /// # Errors
    /// Read-only, or the disk said no.
    pub fn expire(&self, at: Timestamp) -> Result<usize, StoreError> {
        if let Some(damage) = &self.damage {
            return Err(StoreError::ReadOnly(damage.clone()));
        }
        let date = day_of(at);
        let mut checkpoints = lock(&self.shared.checkpoints);
        let mut days = lock(&self.shared.days);
        if days.list().first().is_none_or(|oldest| *oldest >= date) {
            return Ok(0);
        }
        let mut head = self.head();
        (head.first, head.before) = recover::beginning(&mut days, date, head)?;
        checkpoints.write(head)?;
        *lock(&self.shared.head) = head;
        days.remove_before(date)
    }
}

fn start(writer: Writer) -> Result<Handle, StoreError> {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run(&receiver));
    let thread = thread.map_err(|source| StoreError::Io {
        what: "start the thread that writes",
        path: "log".into(),
        source,
    })?;
    Ok(Handle { sender: Some(sender), thread: Some(thread) })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encode(records: Vec<Record>) -> Result<Vec<(Record, Vec<u8>)>, StoreError> {
    let encoded = records.into_iter().map(|record| {
        let bytes = serde_json::to_vec(&record).expect("records are JSON");
        match bytes.len() {
            size if size > RECORD => Err(StoreError::TooLong { what: "a record", size, limit: RECORD }),
            _ => Ok((record, bytes)),
        }
    });
    encoded.collect()
}

#[cfg(test)]
mod tests;
