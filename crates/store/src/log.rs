//! The record log: one writing thread, group commit, many readers.

mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use outis_model::record::{Logged, Record, RecordId};
use tokio::sync::{broadcast, oneshot};

use crate::chain::{Hash, link, split};
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::days::{Days, day_of};
use crate::error::StoreError;
use crate::verify::{Broken, Verified, Walk};
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
        let (checkpoints, acknowledged) = Checkpoints::open(dir)?;
        let found = last(&mut days)?;
        let acknowledged = acknowledged.unwrap_or_default();
        let (head, damage) = compare(&mut days, found, acknowledged)?;
        mend_ids(&mut days, acknowledged.count)?;
        let head = if options.accept_loss && damage.is_some() { acknowledged } else { head };
        let damage = damage.filter(|_| !options.accept_loss);
        let shared = Arc::new(Shared {
            days: Mutex::new(days),
            tail: broadcast::channel(BEHIND).0,
            head: Mutex::new(head),
        });
        let writer = match damage {
            Some(_) => None,
            None => Some(Arc::new(start(Writer::new(Arc::clone(&shared), checkpoints, head)))),
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

    /// One record by its id.
    ///
    /// # Errors
    /// The disk said no, or the row is damaged.
    pub fn get(&self, id: RecordId) -> Result<Option<Logged>, StoreError> {
        let mut days = lock(&self.shared.days);
        for date in days.list().into_iter().rev() {
            let day = days.day(date)?;
            let at = |error| StoreError::at(&self.path, error);
            let Some(seq) = day.ids.get(id.to_bytes()).map_err(at)? else { continue };
            let Some(row) = day.rows.get(&seq).map_err(at)? else { continue };
            return decode(&seq, &row).map(Some);
        }
        Ok(None)
    }

    /// Records in order of position that `takes` lets pass: from a position on, else the newest.
    ///
    /// # Errors
    /// The disk said no, or a row is damaged.
    pub fn range(&self, query: &Query, takes: impl Fn(&Logged) -> bool) -> Result<Vec<Logged>, StoreError> {
        let mut days = lock(&self.shared.days);
        let mut found = Vec::new();
        let mut dates = days.list();
        if query.from.is_none() {
            dates.reverse();
        }
        for date in dates {
            if found.len() >= query.limit
                || (query.from.is_none() && query.since.is_some_and(|at| date < day_of(at)))
            {
                break;
            }
            let day = days.day(date)?;
            let rows: Box<dyn Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>> = match query.from {
                Some(from) => Box::new(day.rows.range(from.to_be_bytes()..)),
                None => Box::new(day.rows.iter().rev()),
            };
            for row in rows {
                let (seq, row) = row.map_err(|error| StoreError::at(&self.path, error))?;
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
        let mut days = lock(&self.shared.days);
        let mut lines = Vec::new();
        for date in days.list() {
            let day = days.day(date)?;
            for row in day.rows.range(from.to_be_bytes()..).take(limit.saturating_sub(lines.len())) {
                let (seq, row) = row.map_err(|error| StoreError::at(&self.path, error))?;
                let (seq, (hash, bytes)) = (position(&seq)?, split(&row).ok_or_else(|| short(&seq))?);
                let text = String::from_utf8_lossy(bytes);
                lines.push(serde_json::json!({"seq": seq, "hash": hash.to_string(), "record": text}));
            }
        }
        Ok(lines)
    }

    /// Walks everything and recomputes every hash, up to the acknowledged head.
    ///
    /// # Errors
    /// The first record that is changed, missing or out of order, or the disk said no.
    pub fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        let mut days = lock(&self.shared.days);
        let mut walk = Walk::default();
        for date in days.list() {
            let day = days.day(date)?;
            for row in &day.rows {
                let (seq, row) = row.map_err(|error| StoreError::at(&self.path, error))?;
                let step =
                    split(&row).ok_or_else(|| short(&seq)).map(|(hash, bytes)| (hash, bytes.to_vec()))?;
                if let Err(broken) = walk.step(position(&seq)?, step.0, &step.1) {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(walk.finish(Some(self.head())))
    }

    /// Removes whole days before the one `at` belongs to; gives how many.
    ///
    /// # Errors
    /// The disk said no.
    pub fn expire(&self, at: Timestamp) -> Result<usize, StoreError> {
        Ok(lock(&self.shared.days).remove_before(day_of(at))?.len())
    }
}

fn start(writer: Writer) -> Handle {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run(&receiver));
    Handle { sender: Some(sender), thread: thread.ok() }
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

fn short(seq: &[u8]) -> StoreError {
    StoreError::Damaged(format!("the row at {seq:02x?} is too short"))
}

fn position(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::Damaged(format!("key {key:02x?} is no position")))
}

fn decode(key: &[u8], row: &[u8]) -> Result<Logged, StoreError> {
    let seq = position(key)?;
    let (_, bytes) = split(row).ok_or_else(|| short(key))?;
    let record = serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Damaged(format!("record {seq} cannot be read: {error}")))?;
    Ok(Logged { seq, record })
}

type Row = (u64, Hash, Vec<u8>);

fn row_at(day: &crate::days::Day, seq: u64) -> Result<Option<Row>, StoreError> {
    let row = day.rows.get(seq.to_be_bytes()).map_err(|error| StoreError::at(Path::new("log"), error))?;
    let Some(row) = row else { return Ok(None) };
    let (hash, bytes) = split(&row).ok_or_else(|| short(&seq.to_be_bytes()))?;
    Ok(Some((seq, hash, bytes.to_vec())))
}

fn last(days: &mut Days) -> Result<Option<Row>, StoreError> {
    for date in days.list().into_iter().rev() {
        let day = days.day(date)?;
        if let Some((key, _)) = day.rows.last().map_err(|error| StoreError::at(Path::new("log"), error))? {
            return row_at(&day, position(&key)?);
        }
    }
    Ok(None)
}

fn find(days: &mut Days, seq: u64) -> Result<Option<Row>, StoreError> {
    for date in days.list().into_iter().rev() {
        let day = days.day(date)?;
        if let Some(row) = row_at(&day, seq)? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Rows and ids are two trees, and only a flush makes both durable: a group that was cut short may have
/// its rows without its ids. Such rows lie behind the checkpoint; their ids are written again.
fn mend_ids(days: &mut Days, from: u64) -> Result<(), StoreError> {
    let at = |error| StoreError::at(Path::new("log"), error);
    for date in days.list() {
        let day = days.day(date)?;
        for row in day.rows.range(from.to_be_bytes()..) {
            let (key, row) = row.map_err(at)?;
            day.ids.insert(decode(&key, &row)?.record.id.to_bytes(), &key).map_err(at)?;
        }
    }
    Ok(())
}

/// The head to go on from, and what is wrong with the log when it does not hold what was acknowledged.
fn compare(
    days: &mut Days,
    found: Option<Row>,
    acknowledged: Checkpoint,
) -> Result<(Checkpoint, Option<String>), StoreError> {
    let head = found
        .as_ref()
        .map_or(Checkpoint::default(), |(seq, hash, _)| Checkpoint { count: seq + 1, head: *hash });
    if head.count < acknowledged.count {
        // Retention may have removed everything; then only the checkpoint is left.
        if head.count == 0 && days.list().is_empty() && acknowledged.count > 0 {
            return Ok((acknowledged, None));
        }
        let text =
            format!("records {} to {} were acknowledged and are gone", head.count, acknowledged.count - 1);
        return Ok((head, Some(text)));
    }
    if acknowledged.count > 0 {
        let at = acknowledged.count - 1;
        let same = find(days, at)?.is_some_and(|(_, hash, _)| hash == acknowledged.head);
        if !same {
            return Ok((head, Some(format!("record {at} is not the one that was acknowledged"))));
        }
    }
    // A group that was flushed while its checkpoint was not is whole, or was cut by recovery: its own
    // chain tells.
    if let Some((seq, hash, bytes)) = &found {
        let previous = match seq.checked_sub(1) {
            Some(before) => find(days, before)?.map(|(_, hash, _)| hash),
            None => Some(Hash::default()),
        };
        if previous.is_some_and(|previous| link(previous, *seq, bytes) != *hash) {
            return Ok((head, Some(format!("record {seq} does not follow from the one before it"))));
        }
    }
    Ok((head, None))
}

#[cfg(test)]
mod tests;
