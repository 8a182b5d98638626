#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chain;
mod checkpoint;
mod database;
mod days;
mod error;
mod log;
mod note;
mod spool;
mod state;
mod verify;

pub use chain::{Hash, link};
pub use checkpoint::Checkpoint;
pub use error::StoreError;
pub use log::{Log, Options, Query};
pub use note::Note;
pub use spool::{Class, Entry, Spool, SpoolLimits};
pub use state::State;
pub use verify::{Broken, Verified, verify_export};

use std::path::Path;

/// The disk format this version writes. An older binary refuses a newer store.
pub const FORMAT: u32 = 1;

/// Creates the directory, or refuses a format newer than ours.
pub(crate) fn claim(dir: &Path) -> Result<(), StoreError> {
    let file = dir.join("FORMAT");
    let io = |what, source| StoreError::Io { what, path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(|error| io("create", error))?;
    match std::fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(StoreError::Newer { path: dir.to_owned(), found, ours: FORMAT }),
            Err(_) => Err(StoreError::Damaged(format!("{} does not hold a format number", file.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => mark(dir, &file),
        Err(error) => Err(io("read", error)),
    }
}

/// Writes the format beside and renames it, so that it is whole or not there.
fn mark(dir: &Path, file: &Path) -> Result<(), StoreError> {
    let beside = dir.join("FORMAT.new");
    let io = |source| StoreError::Io { what: "write", path: beside.clone(), source };
    std::fs::write(&beside, format!("{FORMAT}\n")).map_err(io)?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&beside, file).map_err(io)?;
    database::sync_dir(dir)
}
