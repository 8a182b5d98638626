//! A sled database whose `flush` means on disk.
//!
//! sled 0.34 flushes by `sync_file_range`, which writes a file's bytes and not its length: when power fails, what the
//! file grew by since its last real sync is gone, acknowledged or not. What is too long for a segment goes to a file
//! of its own, which sled does not sync at all. Here both are. Found by cutting off a guest (`tests/kernel.rs`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{IFlags, fstatfs, ioctl_getflags, ioctl_setflags};

use crate::error::StoreError;

/// How often a lock of our own is asked for again, and how long it is waited for in between.
const AGAIN: (u32, Duration) = (100, Duration::from_millis(10));

/// File systems in memory, by the number `statfs` gives.
const TMPFS: i64 = 0x0102_1994;

/// A sled database and the files it lies in.
pub(crate) struct Database {
    db: sled::Db,
    dir: PathBuf,
    file: File,
    /// Long values' files that are on disk. Each is written once.
    long: Mutex<BTreeSet<OsString>>,
}

impl Database {
    /// Opens or creates one, with an explicit cache; sled's own default is 1 GiB.
    pub(crate) fn open(dir: &Path, cache_mib: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_mib << 20)
            .mode(sled::Mode::HighThroughput)
            // We flush ourselves, before each acknowledgement.
            .flush_every_ms(None);
        let db = guarded(dir, || config.open().map_err(|error| StoreError::at(dir, error)))?;
        let open =
            |path: PathBuf| File::open(&path).map_err(|source| StoreError::Io { what: "open", path, source });
        let (file, long) = (open(dir.join("db"))?, open(dir.join("blobs"))?);
        write_through(dir, &[&file, &long]);
        open(dir.join("conf"))?.sync_all().map_err(|source| StoreError::said(dir, source))?;
        let database = Self { db, dir: dir.into(), file, long: Mutex::default() };
        database.flush()?;
        sync_dir(dir)?;
        dir.parent().map_or(Ok(()), sync_dir)?;
        Ok(database)
    }

    /// Opens one that was let go of a moment ago: sled's own threads hold its lock until they notice.
    pub(crate) fn open_again(dir: &Path, cache_mib: u64) -> Result<Self, StoreError> {
        for _ in 0..AGAIN.0 {
            match Self::open(dir, cache_mib) {
                Err(StoreError::Locked(_)) => std::thread::sleep(AGAIN.1),
                done => return done,
            }
        }
        Self::open(dir, cache_mib)
    }

    /// Returns when everything written so far is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| StoreError::at(&self.dir, error))?;
        self.file.sync_data().map_err(|source| StoreError::said(&self.dir, source))?;
        self.sync_long()
    }

    fn sync_long(&self) -> Result<(), StoreError> {
        let dir = self.dir.join("blobs");
        let said = |source| StoreError::said(&dir, source);
        let mut synced = self.long.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = std::fs::read_dir(&dir).map_err(said)?.map(|entry| entry.map(|entry| entry.file_name()));
        let there: BTreeSet<OsString> = listed.collect::<Result<_, _>>().map_err(said)?;
        let fresh: Vec<_> = there.difference(&synced).collect();
        for name in &fresh {
            match File::open(dir.join(name)).and_then(|file| file.sync_all()) {
                // Its value was replaced meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done.map_err(said)?,
            }
        }
        if !fresh.is_empty() {
            sync_dir(&dir)?;
        }
        *synced = there;
        Ok(())
    }
}

/// What is written beside a database that failed, to see whether there is room to read it again: opening takes some.
const ROOM: usize = 1 << 20;

/// A database, and whether something failed in it. There may be none for a moment: its lock has to be let go first.
pub(crate) struct Held<T = Database> {
    held: Option<T>,
    pub(crate) failed: bool,
}

impl<T> Held<T> {
    pub(crate) fn new(held: T) -> Self {
        Self { held: Some(held), failed: false }
    }

    /// Whatever there is, for readers; `open` when there is none.
    pub(crate) fn or_open(
        &mut self,
        open: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<&mut T, StoreError> {
        if self.held.is_none() {
            self.held = Some(open()?);
            self.failed = false;
        }
        Ok(self.held.as_mut().expect("just put there"))
    }

    /// One that did not fail, for writers: a failed one is let go of and opened again, once there is room for that.
    pub(crate) fn sound_or_open(
        &mut self,
        dir: &Path,
        open: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<&mut T, StoreError> {
        if self.failed {
            room(dir)?;
            self.held = None;
        }
        self.or_open(open)
    }
}

impl Held {
    pub(crate) fn any(&mut self, dir: &Path, cache_mib: u64) -> Result<&Database, StoreError> {
        self.or_open(|| Database::open_again(dir, cache_mib)).map(|db| &*db)
    }

    pub(crate) fn sound(&mut self, dir: &Path, cache_mib: u64) -> Result<&Database, StoreError> {
        self.sound_or_open(dir, || Database::open_again(dir, cache_mib)).map(|db| &*db)
    }
}

/// Whether a file of some size can be written there.
fn room(dir: &Path) -> Result<(), StoreError> {
    let probe = dir.join("room");
    let written = std::fs::write(&probe, vec![0; ROOM]);
    let removed = std::fs::remove_file(&probe);
    written.and(removed).map_err(|source| StoreError::said(dir, source))
}

impl Deref for Database {
    type Target = sled::Db;

    fn deref(&self) -> &Self::Target {
        &self.db
    }
}

/// Asks the file system to write the database's file, and whatever is made in the directory of long values, through to
/// the disk, length and all. Our flush comes too late for what sled does between two of them: it takes for stable what
/// `sync_file_range` wrote, and reuses the place of what that replaces; and it lets the log point to long values that
/// are in memory alone, and cannot read a log whose pages lie in such a one. ext4 and xfs know how.
fn write_through(dir: &Path, files: &[&File]) {
    for file in files {
        let done = ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::SYNC));
        let Err(error) = done else { continue };
        // What is in memory does not outlive its machine anyway.
        if !fstatfs(file).is_ok_and(|system| system.f_type == TMPFS) {
            let dir = dir.display();
            tracing::warn!(%dir, %error, "The file system cannot write single files through; use ext4 or xfs");
        }
    }
}

/// A new file's or directory's name is on disk when its directory is synced, and not before.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| StoreError::Io { what: "sync", path: dir.into(), source })
}

/// Runs what reads a database that may be damaged: some damage makes sled panic where it should err.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(StoreError::Damaged(format!("{} cannot be read", path.display()))))
}
