//! A byte that changes on disk is found and named, or it was one that carries nothing.

mod record;

use std::path::{Path, PathBuf};

use outis_model::Timestamp;
use outis_store::{Checkpoint, Log, Options};
use record::record;

/// sled's segments.
const SEGMENT: u64 = 512 << 10;
const RECORDS: u64 = 1200;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

/// What the store says of itself: nothing wrong, or a sentence.
fn judged(dir: &Path, original: (Checkpoint, &[serde_json::Value])) -> Result<(), String> {
    let log = Log::open(dir, &Options::default()).map_err(|error| error.to_string())?;
    if let Some(damage) = log.damage() {
        return Err(damage.to_owned());
    }
    let verified = log.check().map_err(|error| error.to_string())?.map_err(|broken| broken.to_string())?;
    let (head, lines) = original;
    // Nothing found: then nothing may differ.
    assert_eq!((verified.count, verified.head), (head.count, head.head), "lost in silence");
    assert_eq!(log.export(0, usize::MAX).expect("read"), lines, "changed in silence");
    Ok(())
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_named_or_carries_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    let time = Timestamp::from_second(1_728_000_000).expect("in range");
    for batch in 0..RECORDS / 20 {
        let records = (batch * 20..batch * 20 + 20).map(|number| record(number, time, 1000)).collect();
        log.append(records).await.expect("appended");
    }
    let (head, lines) = (log.head(), log.export(0, usize::MAX).expect("read"));
    drop(log);
    judged(dir.path(), (head, &lines)).expect("whole before anything is changed");

    let mut all = Vec::new();
    files(dir.path(), &mut all);
    let (mut tried, mut named, mut segments) = (0, 0, 0);
    for file in &all {
        let size = std::fs::metadata(file).expect("size").len();
        let mut offsets = vec![0, size / 2, size.saturating_sub(1)];
        if file.ends_with("db") {
            segments = size.div_ceil(SEGMENT);
            for base in (0..segments).map(|segment| segment * SEGMENT) {
                // Its header, its first message, and odd places in it.
                offsets.extend([0, 9, 21, 40, 4_999, 131_101, 300_007, SEGMENT - 2].map(|at| base + at));
            }
        }
        for offset in offsets.into_iter().filter(|offset| *offset < size) {
            let changed = tempfile::tempdir().expect("dir");
            copy(dir.path(), changed.path());
            let path = changed.path().join(file.strip_prefix(dir.path()).expect("below"));
            let mut bytes = std::fs::read(&path).expect("read");
            let at = usize::try_from(offset).expect("small");
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).expect("written");
            let verdict = judged(changed.path(), (head, &lines));
            println!(
                "{} at {offset}: {verdict:?}",
                path.strip_prefix(changed.path()).expect("below").display()
            );
            tried += 1;
            named += u32::from(verdict.is_err());
            if let Err(text) = verdict {
                assert!(text.len() > 10, "not a sentence: {text:?}");
            }
        }
    }
    println!("{tried} flips over {segments} segments: {named} named, {} carried nothing", tried - named);
    assert!(segments >= 3, "{segments} segments");
    assert!(named >= u32::try_from(segments).expect("small"), "{named} of {tried}");
}
