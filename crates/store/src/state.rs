//! State: small things by key, with compare-and-swap and watch. When an installation outgrows one
//! controller this port moves to etcd; it promises nothing etcd does not.

use std::path::Path;

use tokio::sync::broadcast;

use crate::error::StoreError;

/// Cache of the state database.
const CACHE_MIB: u64 = 8;
/// Changes a slow watcher may be behind.
const BEHIND: usize = 256;

/// Keys and values. Clones share it.
#[derive(Clone)]
pub struct State {
    db: sled::Db,
    changes: broadcast::Sender<String>,
}

impl State {
    /// Opens or creates the state in `dir`.
    ///
    /// # Errors
    /// Locked, newer, damaged, or the disk said no.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        crate::claim(dir)?;
        Ok(Self {
            db: crate::database(&dir.join("state"), CACHE_MIB)?,
            changes: broadcast::channel(BEHIND).0,
        })
    }

    /// A value.
    ///
    /// # Errors
    /// The disk said no.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get(key).map_err(|error| StoreError::at(Path::new(key), error))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// Puts `new` in the place of `old` (`None`: absent). True when it was so, and is on disk.
    ///
    /// # Errors
    /// The disk said no.
    pub fn swap(&self, key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, StoreError> {
        let at = |error| StoreError::at(Path::new(key), error);
        if self.db.compare_and_swap(key, old, new).map_err(at)?.is_err() {
            return Ok(false);
        }
        self.db.flush().map_err(at)?;
        let _ = self.changes.send(key.to_owned());
        Ok(true)
    }

    /// Keys that change from now on.
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
