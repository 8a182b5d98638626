//! What was acknowledged, written beside the databases: two files, written and synced in turn, so that
//! a torn write leaves the other whole.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::chain::{Hash, link};
use crate::error::StoreError;

/// The head of the log at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Records in the log, those removed by retention included.
    pub count: u64,
    /// Hash of the last one; zeroes for an empty log.
    pub head: Hash,
    /// Position of the oldest record that retention left.
    pub first: u64,
    /// Hash of the record before that one, so that the oldest is vouched for, too.
    pub before: Hash,
}

/// The two files.
pub(crate) struct Checkpoints {
    files: [(PathBuf, File); 2],
    next: usize,
}

impl Checkpoint {
    fn encode(self) -> String {
        let text = format!("{} {} {} {}", self.count, self.head, self.first, self.before);
        // Its own digest tells a torn write.
        format!("{text} {}\n", link(Hash::default(), self.count, text.as_bytes()))
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.lines().next()?.split(' ');
        let (count, head) = (parts.next()?.parse().ok()?, Hash::parse(parts.next()?)?);
        let (first, before) = (parts.next()?.parse().ok()?, Hash::parse(parts.next()?)?);
        let found = Self { count, head, first, before };
        found.encode().strip_suffix('\n').is_some_and(|whole| text.starts_with(whole)).then_some(found)
    }
}

impl Checkpoints {
    /// Opens both files; gives the newest whole checkpoint.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<Checkpoint>), StoreError> {
        let open = |name: &str| {
            let path = dir.join(name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            file.map(|file| (path.clone(), file)).map_err(|source| StoreError::Io {
                what: "open",
                path,
                source,
            })
        };
        let files = [open("checkpoint.0")?, open("checkpoint.1")?];
        crate::database::sync_dir(dir)?;
        let read = |(_, file): &(PathBuf, File)| {
            let mut text = String::new();
            let mut file = file;
            file.read_to_string(&mut text).ok()?;
            Checkpoint::decode(&text)
        };
        let found = [read(&files[0]), read(&files[1])];
        let newest = found.iter().flatten().max_by_key(|found| (found.count, found.first)).copied();
        // The older, or torn, one is overwritten next.
        let next = usize::from(found[0].is_some() && found[0] == newest);
        Ok((Self { files, next }, newest))
    }

    /// Writes and syncs one. Returns when it is on disk.
    pub(crate) fn write(&mut self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        let (path, file) = &self.files[self.next];
        let text = checkpoint.encode();
        let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.sync_data());
        self.next = 1 - self.next;
        written.map_err(|source| StoreError::said(path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_checkpoint_is_found() {
        let dir = tempfile::tempdir().expect("dir");
        let (mut files, none) = Checkpoints::open(dir.path()).expect("opens");
        assert_eq!(none, None);
        for count in 1..=3 {
            files
                .write(Checkpoint { count, head: Hash([count as u8; 32]), ..Checkpoint::default() })
                .expect("written");
        }
        let newest = |dir: &Path| Checkpoints::open(dir).expect("opens").1.map(|found| found.count);
        assert_eq!(newest(dir.path()), Some(3));
        // Tear the newest: the one before it is found.
        std::fs::write(dir.path().join("checkpoint.0"), "3 00").expect("torn");
        assert_eq!(newest(dir.path()), Some(2));
        let (mut files, _) = Checkpoints::open(dir.path()).expect("opens");
        files.write(Checkpoint { count: 4, ..Checkpoint::default() }).expect("written");
        assert_eq!(newest(dir.path()), Some(4));
    }
}
