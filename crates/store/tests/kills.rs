//! A process that is killed at any instant keeps every record it acknowledged.
//!
//! This says nothing about power: the page cache outlives the process. `kernel.rs` cuts a machine off.

mod record;
#[path = "kills/writer.rs"]
mod writer;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outis_store::{Log, Options};
use writer::{Dice, LIFE, numbered, told};

const KILLS: u64 = 50;
/// What the child finds its directory and its first number in.
const WHERE: &str = "OUTIS_STORE_KILLED";
/// How long a life lasts, from its first acknowledgement on.
const SHORTEST: Duration = Duration::from_millis(5);
const SPAN: Duration = Duration::from_millis(150);

/// The child.
#[test]
#[ignore = "started by the test below, to be killed"]
fn writes_until_it_is_killed() {
    let place = std::env::var(WHERE).expect("started by the test below");
    let (dir, first) = place.rsplit_once(' ').expect("a directory and a number");
    let log = Log::open(Path::new(dir), &Options::default()).expect("opens");
    assert_eq!(log.damage(), None);
    writer::write(&log, first.parse().expect("a number"));
}

/// One life of the child; gives what it acknowledged and for how long it wrote.
fn life(dir: &Path, first: u64, lasts: Duration) -> (Vec<u64>, Duration) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(WHERE, format!("{} {first}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let lines = BufReader::new(child.stdout.take().expect("piped")).split(b'\n');
    let mut acknowledged = Vec::new();
    let mut began = None;
    let mut killed = None;
    for line in lines {
        let line = String::from_utf8(line.expect("read")).expect("text");
        let Some(number) = told(&line, "acknowledged") else { continue };
        acknowledged.push(number.parse().expect("a number"));
        let began = *began.get_or_insert_with(Instant::now);
        if killed.is_none() && began.elapsed() >= lasts {
            child.kill().expect("SIGKILL");
            killed = Some(began.elapsed());
        }
    }
    child.wait().expect("ended");
    (acknowledged, killed.expect("it wrote until it was killed"))
}

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("dir");
    let mut dice = Dice::new();
    let seed = dice.seed;
    let (mut all, mut wrote) = (Vec::new(), Duration::ZERO);
    for kill in 0..KILLS {
        let (acknowledged, lasted) = life(dir.path(), kill * LIFE, SHORTEST + dice.below(SPAN));
        let log = Log::open(dir.path(), &Options::default()).expect("opens");
        assert_eq!(log.damage(), None, "kill {kill}, seed {seed}");
        for number in &acknowledged {
            let wanted = numbered(*number);
            let found = log.get(wanted.id).expect("read");
            assert_eq!(found.map(|logged| logged.record), Some(wanted), "kill {kill}, seed {seed}");
        }
        wrote += lasted;
        all.extend(acknowledged);
    }
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    let verified = log.check().expect("read").expect("whole");
    assert!(verified.count >= all.len() as u64, "{} of {}", verified.count, all.len());
    for number in &all {
        assert!(log.get(numbered(*number).id).expect("read").is_some(), "record {number}, seed {seed}");
    }
    let rate = all.len() as f64 / wrote.as_secs_f64();
    println!("{KILLS} kills, {} records acknowledged, {rate:.0} /s, none lost", all.len());
    assert!(rate >= 1000.0, "{rate:.0} acknowledged writes/s are too few to prove anything");
}
