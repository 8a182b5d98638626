//! What can go wrong with a disk.

use std::path::{Path, PathBuf};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{} is in use by another process; the store has one owner - stop it, or ask it", .0.display())]
    Locked(PathBuf),
    /// Written by a newer version.
    #[error("{} has format {found}, this version reads up to {ours}; use the newer version, or restore a backup", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        ours: u32,
    },
    /// What is on disk is not what was acknowledged.
    #[error("the store is damaged: {0}; restore a backup, or accept the loss with `outis store repair`")]
    Damaged(String),
    /// No room.
    #[error("the disk of {} is full; make room, nothing acknowledged is lost", .0.display())]
    Full(PathBuf),
    /// The log is open for reading alone.
    #[error("the log takes no records: {0}")]
    ReadOnly(String),
    /// A record or report that is too long.
    #[error("{what} of {size} bytes is longer than {limit}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The file system said no.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer has ended; the process is going down.
    #[error("the store is closing")]
    Closing,
}

impl StoreError {
    /// What the disk said to a write, told apart.
    pub(crate) fn said(path: &Path, source: std::io::Error) -> Self {
        match no_room(&source) {
            true => Self::Full(path.into()),
            false => Self::Io { what: "write", path: path.into(), source },
        }
    }

    /// A sled error, told apart.
    pub(crate) fn at(path: &Path, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if source.to_string().contains("lock") => Self::Locked(path.into()),
            sled::Error::Io(source) if source.kind() == std::io::ErrorKind::WouldBlock => {
                Self::Locked(path.into())
            }
            sled::Error::Io(source) => Self::said(path, source),
            other => Self::Damaged(format!("{}: {}", path.display(), plain(&other))),
        }
    }
}

/// The disk, the quota or the longest file allowed is full.
pub(crate) fn no_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// sled's sentence, without the backtrace it puts into some.
pub(crate) fn plain(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "bytes on disk do not fit their checksum".into(),
        other => other.to_string(),
    }
}
