//! A disk without room: the append says so, nothing acknowledged is lost, and when there is room again the
//! same process goes on. The disk is a limit on the size of a file, set by a shell around this test.

mod record;

use std::path::Path;
use std::process::Command;

use outis_model::Timestamp;
use outis_store::{Class, Entry, Log, Options, Spool, SpoolLimits, State, StoreError};
use record::record;

/// What the child finds its directory in.
const WHERE: &str = "OUTIS_STORE_FULL";

/// The child, under a limit of 3 MiB a file.
#[tokio::test]
#[ignore = "started by the test below, with a limit on the size of files"]
async fn fills_the_disk_and_goes_on() {
    let dir = std::env::var(WHERE).expect("started by the test below");
    let log = Log::open(Path::new(&dir), &Options::default()).expect("opens");
    let time = Timestamp::from_second(1_728_000_000).expect("in range");
    let one = |number| vec![record(number, time, 100_000)];
    let (mut taken, mut refused) = (0, 0);
    // Reading itself anew after a failure makes the log some room; so it is filled again, and the same
    // record delivered again each time.
    while refused < 20 {
        match log.append(one(taken)).await {
            Ok(seqs) => {
                assert_eq!(seqs, [taken]);
                taken += 1;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error}");
                refused += 1;
            }
        }
        assert_eq!(log.head().count, taken, "what was not taken is not counted");
        assert!(taken < 1000, "the limit was never met");
    }
    let state = State::open(Path::new(&dir)).expect("opens");
    let value = vec![7; 100_000];
    let swap = |number: u64| state.swap(&format!("key/{number}"), None, Some(&value));
    let swapped = until_refused(swap);
    let spool = Spool::open(&Path::new(&dir).join("own"), SpoolLimits::default()).expect("opens");
    let push = |_| spool.push(&[(Class::Detection, value.clone())]).map(|range| range.end > range.start);
    let pushed = until_refused(push);
    // Readers go on meanwhile.
    assert!(state.entries("key/").expect("read while full").len() as u64 >= swapped);
    assert_eq!(spool.peek(0, 1000, usize::MAX).expect("read while full").len() as u64, pushed);
    let raised = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), "--fsize=unlimited"])
        .status()
        .expect("prlimit of util-linux");
    assert!(raised.success());
    let seqs = log.append(one(taken)).await.expect("there is room again");
    assert_eq!(seqs, [taken]);
    let verified = log.check().expect("read").expect("whole");
    assert_eq!(verified.count, taken + 1);
    assert!(swap(swapped).expect("there is room again"));
    assert_eq!(
        state.entries("key/").expect("read").len() as u64,
        swapped + 1,
        "what was told is there, no more"
    );
    assert!(push(pushed).expect("there is room again"));
    let kept = spool.peek(0, 1000, usize::MAX).expect("read");
    assert!(kept.len() as u64 > pushed, "{} reports of {pushed} acknowledged ones", kept.len());
    let numbers: Vec<u64> = kept.iter().map(Entry::last).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    println!("went on after {taken} records");
}

/// Does something again and again until the disk refuses it; how often it worked.
fn until_refused(mut work: impl FnMut(u64) -> Result<bool, StoreError>) -> u64 {
    let (mut done, mut refused) = (0, 0);
    while refused < 1 {
        match work(done) {
            Ok(worked) => done += u64::from(worked),
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error}");
                refused += 1;
            }
        }
        assert!(done < 1000, "the limit was never met");
    }
    done
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let test = std::env::current_exe().expect("this test");
    // The signal of the limit is ignored, so that the write fails instead.
    let script = "trap '' XFSZ; ulimit -S -f 6144; exec \"$0\" --exact fills_the_disk_and_goes_on --ignored --nocapture";
    let child =
        Command::new("sh").args(["-c", script]).arg(&test).env(WHERE, dir.path()).output().expect("started");
    let (said, errors) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && said.contains("went on after"), "{said}\n{errors}");
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.damage(), None);
    let verified = log.check().expect("read").expect("whole");
    assert!(said.contains(&format!("went on after {} records", verified.count - 1)), "{said}");
}
