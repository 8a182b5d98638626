//! State: small things by key, with compare-and-swap and watch. When an installation outgrows one
//! controller this port moves to etcd; it promises nothing etcd does not.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;

use crate::database::{Database, Held};
use crate::error::StoreError;
use crate::log::lock;

/// Cache of the state database.
const CACHE_MIB: u64 = 8;
/// Changes a slow watcher may be behind.
const BEHIND: usize = 256;

/// Keys and values. Clones share it.
#[derive(Clone)]
pub struct State {
    /// After a failure what sled holds in memory is not to be believed by a writer: as soon as there is room the
    /// database is read from disk again, without a restart. Until then readers go on.
    db: Arc<Mutex<Held>>,
    path: PathBuf,
    changes: broadcast::Sender<String>,
}

impl State {
    /// Opens or creates the state in `dir`.
    ///
    /// # Errors
    /// Locked, newer, damaged, or the disk said no.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        crate::claim(dir)?;
        let path = dir.join("state");
        let db = Arc::new(Mutex::new(Held::new(Database::open(&path, CACHE_MIB)?)));
        Ok(Self { db, path, changes: broadcast::channel(BEHIND).0 })
    }

    /// Reads.
    fn read<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut held = lock(&self.db);
        work(held.any(&self.path, CACHE_MIB)?)
    }

    /// Writes.
    fn write<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut held = lock(&self.db);
        let done = work(held.sound(&self.path, CACHE_MIB)?);
        held.failed |= done.is_err();
        done
    }

    /// A value.
    ///
    /// # Errors
    /// The disk said no.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.read(|db| db.get(key).map_err(|error| StoreError::at(Path::new(key), error)));
        Ok(found?.map(|bytes| bytes.to_vec()))
    }

    /// Keys that begin with `prefix`, in order, with their values.
    ///
    /// # Errors
    /// The disk said no.
    pub fn entries(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(|db| {
            let rows = db.scan_prefix(prefix).map(|row| {
                let (key, value) = row.map_err(|error| StoreError::at(Path::new(prefix), error))?;
                Ok((String::from_utf8_lossy(&key).into_owned(), value.to_vec()))
            });
            rows.collect()
        })
    }

    /// Copies everything into an empty directory, beside the copy of the log.
    ///
    /// # Errors
    /// The target is not empty, or the disk said no.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let copy = Self::open(to)?;
        if !copy.entries("")?.is_empty() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(StoreError::Io { what: "back up into", path: to.join("state"), source });
        }
        let entries = self.entries("")?;
        copy.write(|db| {
            for (key, value) in entries {
                db.insert(key, value).map_err(|error| StoreError::at(to, error))?;
            }
            db.flush()
        })
    }

    /// Puts `new` in the place of `old` (`None`: absent). True when it was so, and is on disk.
    ///
    /// # Errors
    /// The disk said no.
    pub fn swap(&self, key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, StoreError> {
        let swapped = self.write(|db| {
            let swapped = db.compare_and_swap(key, old, new);
            if swapped.map_err(|error| StoreError::at(Path::new(key), error))?.is_err() {
                return Ok(false);
            }
            db.flush().map(|()| true)
        })?;
        if swapped {
            let _ = self.changes.send(key.to_owned());
        }
        Ok(swapped)
    }

    /// Keys that change from now on. A watcher that is too slow is told how many it missed, and reads
    /// `entries` again.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<String> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_two_swaps_wins() {
        let dir = tempfile::tempdir().expect("dir");
        let state = State::open(dir.path()).expect("opens");
        let mut changes = state.watch();
        assert!(state.swap("ca", None, Some(b"one")).expect("swapped"));
        assert!(!state.swap("ca", None, Some(b"two")).expect("refused"));
        assert_eq!(state.get("ca").expect("read").as_deref(), Some(&b"one"[..]));
        assert_eq!(changes.try_recv().expect("told"), "ca");
    }

    #[test]
    fn a_backup_is_a_store_with_the_same_entries() {
        let (dir, to) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let state = State::open(dir.path()).expect("opens");
        for key in ["ca/root", "ca/leaf", "version/7"] {
            assert!(state.swap(key, None, Some(key.as_bytes())).expect("swapped"));
        }
        let keys: Vec<String> = state.entries("ca/").expect("read").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["ca/leaf", "ca/root"]);
        state.backup(to.path()).expect("copied");
        assert!(matches!(state.backup(to.path()), Err(StoreError::Io { .. })), "not over another store");
        let copy = State::open(to.path()).expect("opens");
        assert_eq!(copy.entries("").expect("read"), state.entries("").expect("read"));
    }

    #[test]
    fn a_second_owner_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("dir");
        let _held = State::open(dir.path()).expect("opens");
        let told = State::open(dir.path()).err().expect("locked").to_string();
        assert!(told.contains("in use by another process"), "{told}");
    }

    #[test]
    fn a_newer_store_is_refused_with_both_formats() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("FORMAT"), "7\n").expect("written");
        let told = State::open(dir.path()).err().expect("newer").to_string();
        assert!(told.contains("has format 7, this version reads up to 1"), "{told}");
    }
}
