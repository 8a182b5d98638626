//! A machine that is cut off at any instant keeps every record it acknowledged.
//!
//! A killed process leaves what it wrote in the kernel's page cache, so `kills.rs` says nothing about flushing.
//! Here the kernel goes with it: a guest whose disk goes past the host's page cache (`cache=directsync`), whose
//! emulator gets SIGKILL. What the guest held in memory alone is gone, as when power fails. Not shown: a disk that
//! loses what it called written.

#![cfg(target_arch = "x86_64")]

#[path = "kernel/guest.rs"]
mod guest;
#[path = "kernel/life.rs"]
mod life;
mod record;
#[path = "kills/writer.rs"]
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use guest::{Flushes, Guest};
use life::Life;
use outis_model::record::Record;
use outis_store::{Log, Options, Query};
use writer::{Dice, LIFE, numbered};

const CUTS: u64 = 10;
/// Acknowledgements that come before a cut, and how long after them it may come.
const LEAST: usize = 300;
const SPAN: Duration = Duration::from_millis(1500);
/// Cuts of a guest that does not flush, until one loses something.
const TRIES: u64 = 3;

#[test]
#[ignore = "needs an emulator and a guest's kernel: `cargo xtask test kernel`"]
fn ten_cuts_lose_nothing_that_was_acknowledged() {
    if let Ok(first) = std::env::var(guest::INSIDE) {
        return reads_then_writes(first.parse().expect("a number"));
    }
    let guest = Guest::new("ten_cuts_lose_nothing_that_was_acknowledged");
    let mut dice = Dice::new();
    let mut acknowledged = BTreeSet::new();
    for cut in 0..CUTS {
        let life = Life::of(&guest, cut * LIFE, Flushes::Real, LEAST, dice.below(SPAN));
        assert_eq!(life.damage, None, "after cut {cut}, seed {}\n{}", dice.seed, guest.console());
        assert_eq!(lost(&acknowledged, &life), [0; 0], "after cut {cut}, seed {}", dice.seed);
        acknowledged.extend(life.acknowledged);
    }
    let last = Life::of(&guest, CUTS * LIFE, Flushes::Real, 1, Duration::ZERO);
    assert_eq!(last.damage, None, "seed {}\n{}", dice.seed, guest.console());
    assert_eq!(lost(&acknowledged, &last), [0; 0], "seed {}", dice.seed);
    assert_eq!(
        last.verified,
        Some(last.kept.len() as u64),
        "every record in the log is one that was written"
    );
    println!("{CUTS} cuts, {} records acknowledged, none lost", acknowledged.len());
}

/// The test above could not fail if a cut left the guest's page cache alone. So: the same writer and the same cut,
/// with an fsync that does nothing.
#[test]
#[ignore = "needs an emulator and a guest's kernel: `cargo xtask test kernel`"]
fn a_cut_takes_what_was_acknowledged_before_it_was_flushed() {
    let guest = Guest::new("ten_cuts_lose_nothing_that_was_acknowledged");
    let mut dice = Dice::new();
    let caught = (0..TRIES).find_map(|cut| {
        let life = Life::of(&guest, 2 * cut * LIFE, Flushes::Pretended, LEAST, dice.below(SPAN));
        let acknowledged = BTreeSet::from_iter(life.acknowledged);
        let after = Life::of(&guest, (2 * cut + 1) * LIFE, Flushes::Real, 1, Duration::ZERO);
        let lost = lost(&acknowledged, &after).len();
        println!("cut {cut}: {lost} of {} lost, {:?}", acknowledged.len(), after.damage);
        (lost > 0).then_some(lost)
    });
    assert!(
        caught.is_some(),
        "{TRIES} cuts took nothing from a guest that never flushed: they prove nothing"
    );
}

/// Acknowledged, and not found after the next start.
fn lost(acknowledged: &BTreeSet<u64>, next: &Life) -> Vec<u64> {
    acknowledged.difference(&next.kept).copied().collect()
}

/// What the guest does: tells what the log holds, then writes until it is cut off.
fn reads_then_writes(first: u64) {
    // The harness has begun a line.
    println!();
    let log = match Log::open(Path::new(guest::DISK), &Options::default()) {
        Ok(log) => log,
        Err(error) => return println!("damaged {error}."),
    };
    if let Some(damage) = log.damage() {
        return println!("damaged {damage}.");
    }
    let everything = Query { from: Some(0), since: None, limit: usize::MAX };
    for logged in log.range(&everything, |_| true).expect("read") {
        if let Some(number) = number(&logged.record) {
            println!("kept {number}.");
        }
    }
    let verified = log.check().expect("read").expect("whole");
    println!("verified {}.", verified.count);
    writer::write(&log, first);
}

/// The number of a record that is, to the last byte, the one that was written under it.
fn number(record: &Record) -> Option<u64> {
    let number = record.summary.split(' ').nth(1)?.parse().ok()?;
    (numbered(number) == *record).then_some(number)
}
