use std::collections::BTreeMap;

use outis_model::RecordKind;
use outis_model::alert::Priority;
use outis_model::record::Subject;

use super::*;
use crate::chain::Hash;
use crate::database::Database;
use crate::verify::{Broken, Verified};
use outis_model::record::RecordId;

pub(crate) fn record(number: u64, day: i64) -> Record {
    let time = Timestamp::from_second(day * 86_400 + 3600).expect("in range");
    Record {
        id: RecordId::new(time, u128::from(number)),
        time,
        kind: RecordKind::Admission,
        actor: "jo".into(),
        subject: Subject::default(),
        summary: format!("record {number}"),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    }
}

async fn filled(dir: &Path, count: u64) -> Log {
    let log = Log::open(dir, &Options::default()).expect("opens");
    for number in 0..count {
        log.append(vec![record(number, 20_000 + i64::try_from(number / 10).expect("small"))])
            .await
            .expect("appended");
    }
    log
}

fn newest(log: &Log, limit: usize) -> Vec<u64> {
    let query = Query { limit, ..Query::default() };
    log.range(&query, |_| true).expect("read").iter().map(|logged| logged.seq).collect()
}

#[tokio::test]
async fn records_read_back_by_id_range_and_tail_across_days() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 25).await;
    let mut tail = log.tail();
    assert_eq!(log.append(vec![record(25, 20_002)]).await.expect("appended"), [25]);
    assert_eq!(tail.recv().await.expect("told").seq, 25);
    assert_eq!(newest(&log, 3), [23, 24, 25]);
    assert_eq!(log.get(record(7, 20_000).id).expect("read").expect("there").record.summary, "record 7");
    let from = Query { from: Some(9), limit: 3, ..Query::default() };
    let seqs: Vec<u64> = log.range(&from, |_| true).expect("read").iter().map(|logged| logged.seq).collect();
    assert_eq!(seqs, [9, 10, 11]);
    let verified = log.verify().expect("read").expect("whole");
    assert_eq!((verified.first, verified.count), (0, 26));
    assert!(dir.path().join("log").read_dir().expect("dir").count() == 3, "one database a day");
}

#[tokio::test]
async fn a_record_delivered_twice_is_kept_once() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 3).await;
    assert_eq!(
        log.append(vec![record(1, 20_000), record(9, 20_000), record(9, 20_000)]).await.expect("taken"),
        [1, 3, 3]
    );
    assert_eq!(log.head().count, 4);
}

#[tokio::test]
async fn expired_days_are_gone_and_the_rest_still_verifies() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 25).await;
    assert_eq!(log.expire(record(0, 20_001).time).expect("expired"), 1);
    let verified = log.verify().expect("read").expect("whole");
    assert_eq!((verified.first, verified.count), (10, 15));
    drop(log);
    let again = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(again.damage(), None);
}

fn rows(dir: &Path, day: &str) -> sled::Tree {
    Database::open(&dir.join("log").join(day), 1).expect("opens").open_tree("rows").expect("tree")
}

/// Changes the closed log on disk as an intruder with the same library would, and says what is found.
async fn tampered(change: impl FnOnce(&sled::Tree)) -> (Option<String>, Result<Verified, Broken>) {
    let dir = tempfile::tempdir().expect("dir");
    drop(filled(dir.path(), 8).await);
    let tree = rows(dir.path(), "2024-10-04");
    change(&tree);
    tree.flush().expect("flushed");
    drop(tree);
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    (log.damage().map(str::to_owned), log.verify().expect("read"))
}

#[tokio::test]
async fn a_changed_record_is_named() {
    let (_, found) = tampered(|tree| {
        let mut row = tree.get(3u64.to_be_bytes()).expect("read").expect("there").to_vec();
        row[40] ^= 1;
        tree.insert(3u64.to_be_bytes(), row).expect("changed");
    })
    .await;
    assert_eq!(found, Err(Broken::Changed(3)));
}

#[tokio::test]
async fn a_missing_record_is_named() {
    let (_, found) = tampered(|tree| drop(tree.remove(5u64.to_be_bytes()).expect("removed"))).await;
    assert_eq!(found, Err(Broken::Missing { from: 5, to: 5 }));
}

#[tokio::test]
async fn two_swapped_records_are_named() {
    let (_, found) = tampered(|tree| {
        let at = |seq: u64| tree.get(seq.to_be_bytes()).expect("read").expect("there");
        let (two, three) = (at(2), at(3));
        tree.insert(2u64.to_be_bytes(), three).expect("changed");
        tree.insert(3u64.to_be_bytes(), two).expect("changed");
    })
    .await;
    assert_eq!(found, Err(Broken::Changed(2)));
}

#[tokio::test]
async fn a_shortened_log_opens_read_only_and_says_what_is_gone() {
    let dir = tempfile::tempdir().expect("dir");
    drop(filled(dir.path(), 8).await);
    {
        let tree = rows(dir.path(), "2024-10-04");
        for seq in 6..8u64 {
            tree.remove(seq.to_be_bytes()).expect("removed");
        }
        tree.flush().expect("flushed");
    }
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.damage(), Some("records 6 to 7 were acknowledged and are gone"));
    let refused = log.append(vec![record(9, 20_000)]).await.expect_err("read-only").to_string();
    assert!(refused.contains("records 6 to 7"), "{refused}");
    drop(log);
    // Taking the loss goes on behind the gap, and the gap stays visible.
    let log = Log::open(dir.path(), &Options { accept_loss: true }).expect("opens");
    assert_eq!(log.append(vec![record(9, 20_000)]).await.expect("appended"), [8]);
    assert_eq!(log.verify().expect("read"), Err(Broken::Missing { from: 6, to: 7 }));
}

#[tokio::test]
async fn an_export_verifies_offline_and_a_changed_one_does_not() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 12).await;
    let lines: Vec<String> = log.export(0, 100).expect("read").iter().map(ToString::to_string).collect();
    let whole = lines.join("\n");
    let verified = crate::verify_export(whole.as_bytes()).expect("whole");
    assert_eq!((verified.count, verified.head), (12, log.head().head));
    assert_eq!(
        crate::verify_export(whole.replace("record 4", "record 5").as_bytes()),
        Err(Broken::Changed(4))
    );
    let without: Vec<String> =
        lines.iter().enumerate().filter(|(at, _)| *at != 6).map(|(_, line)| line.clone()).collect();
    assert_eq!(crate::verify_export(without.join("\n").as_bytes()), Err(Broken::Missing { from: 6, to: 6 }));
    assert!(matches!(crate::verify_export(&b"{"[..]), Err(Broken::Line { line: 1, .. })));
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_with_its_size() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 0).await;
    let long = Record { summary: "x".repeat(RECORD), ..record(0, 20_000) };
    let told = log.append(vec![long]).await.expect_err("too long").to_string();
    assert!(told.starts_with("a record of ") && told.ends_with("is longer than 262144"), "{told}");
}

#[tokio::test]
async fn a_day_somebody_else_removed_is_missed_at_either_end() {
    for (gone, from, to) in [("2024-10-04", 0, 9), ("2024-10-05", 10, 19), ("2024-10-06", 20, 24)] {
        let dir = tempfile::tempdir().expect("dir");
        drop(filled(dir.path(), 25).await);
        std::fs::remove_dir_all(dir.path().join("log").join(gone)).expect("removed");
        let log = Log::open(dir.path(), &Options::default()).expect("opens");
        assert_eq!(log.verify().expect("read"), Err(Broken::Missing { from, to }), "{gone}");
    }
    let dir = tempfile::tempdir().expect("dir");
    drop(filled(dir.path(), 25).await);
    std::fs::remove_dir_all(dir.path().join("log")).expect("removed");
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.damage(), Some("records 0 to 24 were acknowledged and are gone"));
}

#[tokio::test]
async fn the_oldest_record_retention_left_is_vouched_for() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 25).await;
    log.expire(record(0, 20_001).time).expect("expired");
    drop(log);
    let tree = rows(dir.path(), "2024-10-05");
    let mut row = tree.get(10u64.to_be_bytes()).expect("read").expect("there").to_vec();
    let (bytes, mut forged) = (row.split_off(32), Hash::default());
    let bytes = String::from_utf8(bytes).expect("JSON").replace("record 10", "record XX").into_bytes();
    forged.0.copy_from_slice(&crate::link(Hash::default(), 10, &bytes).0);
    tree.insert(10u64.to_be_bytes(), crate::chain::row(forged, &bytes)).expect("changed");
    tree.flush().expect("flushed");
    drop(tree);
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.verify().expect("read"), Err(Broken::Changed(10)));
}

#[tokio::test]
async fn everything_may_expire_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 25).await;
    assert_eq!(log.expire(record(0, 20_009).time).expect("expired"), 3);
    drop(log);
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.damage(), None);
    assert_eq!(log.append(vec![record(25, 20_009)]).await.expect("appended"), [25]);
    let verified = log.verify().expect("read").expect("whole");
    assert_eq!((verified.first, verified.count), (25, 1));
}

#[tokio::test]
async fn a_log_without_its_checkpoint_says_so() {
    let dir = tempfile::tempdir().expect("dir");
    drop(filled(dir.path(), 8).await);
    for name in ["checkpoint.0", "checkpoint.1"] {
        std::fs::remove_file(dir.path().join(name)).expect("removed");
    }
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.damage(), Some("its checkpoint is gone, and so is the proof that record 7 is the last"));
}

#[tokio::test]
async fn a_clock_years_ahead_takes_no_other_record_with_it() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 1).await;
    log.append(vec![record(1, 80_000)]).await.expect("appended");
    let day = day_of(Timestamp::now()).to_string();
    assert!(dir.path().join("log").join(&day).exists(), "filed under {day}");
    assert_eq!(log.append(vec![record(1, 80_000)]).await.expect("taken"), [1], "and still kept once");
    assert_eq!(log.append(vec![record(0, 20_000)]).await.expect("taken"), [0]);
}

#[tokio::test]
async fn a_long_history_keeps_few_days_open_and_is_read_whole() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 200).await;
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").expect("proc");
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let days: std::collections::BTreeSet<_> =
            links.filter(|to| to.starts_with(dir.path().join("log")) && to.ends_with("db")).collect();
        days.len()
    };
    assert_eq!(log.check().expect("read").expect("whole").count, 200);
    assert!((1..=3).contains(&open()), "{} days are open", open());
    assert_eq!(log.get(record(7, 20_000).id).expect("read").expect("there").seq, 7);
    assert_eq!(log.append(vec![record(200, 20_020)]).await.expect("appended"), [200]);
    assert!((1..=3).contains(&open()), "{} days are open", open());
}

#[tokio::test]
async fn a_backup_is_a_store_that_verifies_and_goes_on() {
    let (dir, to) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = filled(dir.path(), 25).await;
    log.expire(record(0, 20_001).time).expect("expired");
    assert_eq!(log.backup(to.path()).expect("copied"), log.head());
    assert!(matches!(log.backup(to.path()), Err(StoreError::Io { .. })), "not over another store");
    let copy = Log::open(to.path(), &Options::default()).expect("opens");
    assert_eq!(copy.check().expect("read"), log.verify().expect("read"));
    assert_eq!(copy.export(0, 100).expect("read"), log.export(0, 100).expect("read"));
    assert_eq!(copy.append(vec![record(12, 20_001)]).await.expect("known"), [12]);
    assert_eq!(copy.append(vec![record(25, 20_002)]).await.expect("appended"), [25]);
}

#[tokio::test]
async fn a_record_its_id_does_not_lead_to_is_found_by_check() {
    let dir = tempfile::tempdir().expect("dir");
    drop(filled(dir.path(), 8).await);
    let db = Database::open(&dir.path().join("log/2024-10-04"), 1).expect("opens");
    let ids = db.open_tree("ids").expect("tree");
    ids.remove(record(4, 20_000).id.to_bytes()).expect("removed");
    db.flush().expect("flushed");
    drop((ids, db));
    let log = Log::open(dir.path(), &Options::default()).expect("opens");
    assert_eq!(log.check().expect("read"), Err(Broken::Unindexed(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_beside_a_busy_writer_finds_nothing_wrong() {
    let dir = tempfile::tempdir().expect("dir");
    let log = filled(dir.path(), 50).await;
    let writer = tokio::spawn({
        let log = log.clone();
        async move {
            for number in 50..550 {
                log.append(vec![record(number, 20_005 + i64::try_from(number / 100).expect("small"))])
                    .await
                    .expect("appended");
            }
        }
    });
    while !writer.is_finished() {
        let log = log.clone();
        let verified = tokio::task::spawn_blocking(move || log.verify()).await.expect("no panic");
        assert!(verified.expect("read").expect("whole").count >= 50);
    }
    writer.await.expect("no panic");
    assert_eq!(log.check().expect("read").expect("whole").count, 550);
}
