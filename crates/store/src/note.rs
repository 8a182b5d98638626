//! A note that can be written while the disk is full.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// Its room, in bytes: within one sector, so that it is written whole or not at all.
const ROOM: usize = 512;

/// A short text beside the databases. Its room is taken once, when there is some; from then on it is written over in
/// place, which needs none.
pub struct Note {
    path: PathBuf,
    file: File,
}

impl Note {
    /// Opens the note of this name; gives what it says, and nothing when it is blank or new.
    ///
    /// # Errors
    /// The disk said no: a note made anew needs room.
    pub fn open(dir: &Path, name: &str) -> Result<(Self, Option<String>), StoreError> {
        crate::claim(dir)?;
        let path = dir.join(name);
        let io = |what, source| StoreError::Io { what, path: path.clone(), source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| io("open", error))?;
        let mut held = [b' '; ROOM];
        let size = usize::try_from(file.metadata().map_err(|error| io("read", error))?.len()).unwrap_or(ROOM);
        file.read_exact_at(&mut held[..size.min(ROOM)], 0).map_err(|error| io("read", error))?;
        let note = Self { path: path.clone(), file };
        if size < ROOM {
            note.put(&held)?;
            note.file.sync_all().map_err(|error| io("sync", error))?;
            crate::database::sync_dir(dir)?;
        }
        let said = String::from_utf8_lossy(&held).trim().to_owned();
        Ok((note, Some(said).filter(|said| !said.is_empty())))
    }

    /// Says something else; returns when it is on disk.
    ///
    /// # Errors
    /// Longer than 512 bytes, or the disk said no.
    pub fn write(&self, text: &str) -> Result<(), StoreError> {
        let mut bytes = [b' '; ROOM];
        let Some(place) = bytes.get_mut(..text.len()) else {
            return Err(StoreError::TooLong { what: "a note", size: text.len(), limit: ROOM });
        };
        place.copy_from_slice(text.as_bytes());
        self.put(&bytes)
    }

    fn put(&self, bytes: &[u8; ROOM]) -> Result<(), StoreError> {
        let written = self.file.write_all_at(bytes, 0).and_then(|()| self.file.sync_data());
        written.map_err(|source| StoreError::said(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_written_last_in_the_room_it_has() {
        let dir = tempfile::tempdir().expect("dir");
        let (note, said) = Note::open(dir.path(), "parked").expect("opens");
        assert_eq!(said, None);
        note.write("3 since noon").expect("written");
        note.write("4").expect("written");
        assert!(note.write(&"x".repeat(ROOM + 1)).is_err(), "longer than its room");
        drop(note);
        let (note, said) = Note::open(dir.path(), "parked").expect("opens");
        assert_eq!(said.as_deref(), Some("4"), "what is shorter leaves nothing of what was longer");
        note.write("").expect("written");
        let size = std::fs::metadata(dir.path().join("parked")).expect("there").len();
        assert_eq!((Note::open(dir.path(), "parked").expect("opens").1, size), (None, 512));
    }
}
