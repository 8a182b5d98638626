//! A process that is killed at any instant keeps every record it acknowledged.
//!
//! This says nothing about power: the page cache outlives the process. That is for a guest whose disk is
//! cut off.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outis_model::alert::Priority;
use outis_model::record::{Record, RecordId, Subject};
use outis_model::{RecordKind, Timestamp};
use outis_store::{Log, Options};

const KILLS: u64 = 50;
/// What the child finds its directory and its first number in.
const WHERE: &str = "OUTIS_STORE_KILLED";
const WRITERS: u64 = 32;
/// Numbers of one life of the child.
const LIFE: u64 = 1 << 32;

fn record(number: u64, time: Timestamp, size: usize) -> Record {
    Record {
        id: RecordId::new(time, u128::from(number)),
        time,
        kind: RecordKind::Admission,
        actor: "jo".into(),
        subject: Subject::default(),
        summary: format!("record {number} {}", "x".repeat(size)),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    }
}

/// Ids depend on the number alone, so that the parent can ask for them.
fn numbered(number: u64) -> Record {
    record(number, Timestamp::from_second(1_790_000_000).expect("in range"), 200)
}

/// The child: appends for ever, and prints each number when it is acknowledged.
#[test]
#[ignore = "started by the test below, to be killed"]
fn writes_until_it_is_killed() {
    let place = std::env::var(WHERE).expect("started by the test below");
    let (dir, first) = place.rsplit_once(' ').expect("a directory and a number");
    let first: u64 = first.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
    let log = Log::open(Path::new(dir), &Options::default()).expect("opens");
    assert_eq!(log.damage(), None);
    runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let log = log.clone();
                tokio::spawn(async move {
                    for number in (first + writer..).step_by(usize::try_from(WRITERS).expect("small")) {
                        log.append(vec![numbered(number)]).await.expect("appended");
                        let _ = writeln!(std::io::stdout().lock(), "acknowledged {number}.");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("goes on until it is killed");
        }
    });
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
        // The last line may be torn: only one with its full stop counts.
        let Some(number) = line.strip_prefix("acknowledged ").and_then(|rest| rest.strip_suffix('.')) else {
            continue;
        };
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
    let seed = u64::try_from(Timestamp::now().as_nanosecond() & 0xffff_ffff).expect("32 bits") | 1;
    let (mut random, mut all, mut wrote) = (seed, Vec::new(), Duration::ZERO);
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (acknowledged, lasted) =
            life(dir.path(), kill * LIFE, Duration::from_micros(5_000 + (random >> 33) % 150_000));
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
