//! The store's spool as the link takes it. Its id is drawn once and lies beside it: a spool that was lost and made
//! anew must not be taken for the old one.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use outis_store::{Entry, Spool};
use outis_wire::{Class, SpoolError};

/// A spool on disk.
#[derive(Clone)]
pub(crate) struct Disk {
    spool: Spool,
    id: String,
}

/// Opens the spool in a directory.
pub(crate) fn open(dir: &Path) -> Result<Disk> {
    let shown = dir.display();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {shown}"))?;
    let spool = Spool::open(dir, outis_store::SpoolLimits::default());
    let spool = spool.with_context(|| format!("cannot open the spool in {shown}"))?;
    let file = dir.join("id");
    let id = match std::fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        _ => {
            let id = format!("{:032x}", crate::chance::number());
            std::fs::write(&file, &id).with_context(|| format!("cannot write {}", file.display()))?;
            std::fs::File::open(&file)
                .and_then(|file| file.sync_all())
                .context("cannot sync the spool's id")?;
            id
        }
    };
    Ok(Disk { spool, id })
}

impl Disk {
    /// Rows, bytes, reports lost for want of room.
    pub(crate) fn depth(&self) -> (usize, usize, u64) {
        self.spool.depth()
    }
}

fn failed(error: outis_store::StoreError) -> SpoolError {
    SpoolError(crate::exit::chain(&error.into()))
}

impl outis_wire::Spool for Disk {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn push(&self, reports: Vec<(Class, Vec<u8>)>) -> Result<Range<u64>, SpoolError> {
        let class = |class| match class {
            Class::Mergeable => outis_store::Class::Mergeable,
            Class::Decision => outis_store::Class::Decision,
            Class::Detection => outis_store::Class::Detection,
        };
        let rows: Vec<_> = reports.into_iter().map(|(of, bytes)| (class(of), bytes)).collect();
        self.spool.push(&rows).map_err(failed)
    }

    fn peek(&self, from: u64, limit: usize, bytes: usize) -> Result<Vec<outis_wire::Entry>, SpoolError> {
        let class = |class| match class {
            outis_store::Class::Mergeable => Class::Mergeable,
            outis_store::Class::Decision => Class::Decision,
            outis_store::Class::Detection => Class::Detection,
        };
        let entry = |entry| match entry {
            Entry::Report { seq, class: of, bytes } => {
                outis_wire::Entry::Report { seq, class: class(of), bytes }
            }
            Entry::Gap { from, to } => outis_wire::Entry::Gap { from, to },
        };
        Ok(self.spool.peek(from, limit, bytes).map_err(failed)?.into_iter().map(entry).collect())
    }

    fn ack(&self, up_to: u64) -> Result<(), SpoolError> {
        self.spool.acknowledge(up_to).map_err(failed)
    }

    fn next(&self) -> u64 {
        self.spool.next()
    }
}

#[cfg(test)]
mod tests {
    use outis_wire::Spool as _;

    use super::*;

    #[test]
    fn a_spool_keeps_its_id_and_a_new_one_draws_another() {
        let (one, two) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let id = |dir: &tempfile::TempDir| open(dir.path()).expect("opens").id();
        let first = id(&one);
        assert_eq!(id(&one), first);
        assert_ne!(id(&two), first);
    }

    #[test]
    fn what_is_pushed_is_peeked_in_order_and_gone_after_its_acknowledgement() {
        let dir = tempfile::tempdir().expect("dir");
        let spool = open(dir.path()).expect("opens");
        let rows = vec![(Class::Decision, b"a".to_vec()), (Class::Detection, b"b".to_vec())];
        assert_eq!(spool.push(rows).expect("pushed"), 0..2);
        let seqs: Vec<u64> =
            spool.peek(0, 10, 1000).expect("peeked").iter().map(outis_wire::Entry::first).collect();
        assert_eq!(seqs, [0, 1]);
        spool.ack(0).expect("acknowledged");
        assert_eq!(spool.peek(0, 10, 1000).expect("peeked").len(), 1);
    }
}
