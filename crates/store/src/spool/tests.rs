use super::*;

fn spool(entries: usize) -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().expect("dir");
    let spool = Spool::open(dir.path(), SpoolLimits { entries, bytes: 1 << 20 }).expect("opens");
    (dir, spool)
}

fn all(spool: &Spool) -> Vec<Entry> {
    spool.peek(0, usize::MAX, usize::MAX).expect("read")
}

fn covered(entries: &[Entry]) -> Vec<u64> {
    entries
        .iter()
        .flat_map(|entry| match entry {
            Entry::Report { seq, .. } => *seq..=*seq,
            Entry::Gap { from, to } => *from..=*to,
        })
        .collect()
}

#[test]
fn what_is_pushed_is_there_after_a_restart_and_gone_after_its_acknowledgement() {
    let (dir, first) = spool(100);
    assert_eq!(
        first.push(&[(Class::Decision, b"a".to_vec()), (Class::Detection, b"b".to_vec())]).expect("pushed"),
        0..2
    );
    first.acknowledge(0).expect("acknowledged");
    drop(first);
    let again = Spool::open(dir.path(), SpoolLimits::default()).expect("opens");
    assert_eq!(all(&again), [Entry::Report { seq: 1, class: Class::Detection, bytes: b"b".to_vec() }]);
    again.acknowledge(1).expect("acknowledged");
    drop(again);
    let empty = Spool::open(dir.path(), SpoolLimits::default()).expect("opens");
    assert_eq!(empty.next(), 2, "an empty spool goes on where it was");
}

#[test]
fn the_least_class_goes_first_and_the_gap_is_exact() {
    let (_dir, spool) = spool(3);
    for (class, text) in [
        (Class::Detection, "d0"),
        (Class::Mergeable, "m1"),
        (Class::Decision, "c2"),
        (Class::Detection, "d3"),
    ] {
        spool.push(&[(class, text.into())]).expect("pushed");
    }
    // A gap takes a row, too: with no neighbour to join, a second report has to go.
    let entries = all(&spool);
    assert_eq!(covered(&entries), [0, 1, 2, 3]);
    assert_eq!(entries[0], Entry::Report { seq: 0, class: Class::Detection, bytes: b"d0".to_vec() });
    assert_eq!(entries[1], Entry::Gap { from: 1, to: 2 });
    assert_eq!(spool.depth().2, 2);
}

#[test]
fn a_gap_that_grew_over_what_was_delivered_is_acknowledged_in_part() {
    let (_dir, spool) = spool(3);
    let push = |class, text: &str| spool.push(&[(class, text.into())]).expect("pushed");
    for text in ["m0", "m1", "m2"] {
        push(Class::Mergeable, text);
    }
    // The receiver has 0 to 1; meanwhile 0 to 2 had to go.
    for text in ["d3", "d4"] {
        push(Class::Detection, text);
    }
    assert_eq!(all(&spool)[0], Entry::Gap { from: 0, to: 2 });
    spool.acknowledge(1).expect("acknowledged");
    assert_eq!(all(&spool)[0], Entry::Gap { from: 2, to: 2 });
    assert_eq!(covered(&all(&spool)), [2, 3, 4]);
}

#[test]
fn a_full_spool_still_takes_reports_fast() {
    let (_dir, spool) = spool(20_000);
    let reports = vec![(Class::Detection, vec![1; 8]); 20_000];
    spool.push(&reports).expect("pushed");
    // 20,000 drops, one after another: hopeless if each looked through the whole spool.
    spool.push(&reports).expect("pushed");
    let (entries, _, lost) = spool.depth();
    assert_eq!((entries, lost), (20_000, 20_001), "the one gap is a row, too");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever is pushed and acknowledged, the rows cover the rest without hole or overlap, within
        /// the bound, and the loss counter is the sum of the gaps.
        #[test]
        fn rows_are_contiguous_and_losses_exact(classes in prop::collection::vec(0u8..3, 1..60), acknowledged in 0u64..30) {
            let (_dir, spool) = spool(8);
            for class in &classes {
                let class = [Class::Mergeable, Class::Decision, Class::Detection][usize::from(*class)];
                spool.push(&[(class, vec![7; 10])]).expect("pushed");
            }
            let lost: u64 = all(&spool).iter().map(|entry| match entry {
                Entry::Gap { from, to } => to - from + 1,
                Entry::Report { .. } => 0,
            }).sum();
            prop_assert_eq!(lost, spool.depth().2);
            prop_assert!(all(&spool).len() <= 8);
            prop_assert_eq!(covered(&all(&spool)), (0..classes.len() as u64).collect::<Vec<_>>());
            // Acknowledgements come at the end of a row: that is what was sent.
            if let Some(end) = all(&spool).iter().map(Entry::last).find(|last| *last >= acknowledged) {
                spool.acknowledge(end).expect("acknowledged");
                prop_assert_eq!(covered(&all(&spool)), (end + 1..classes.len() as u64).collect::<Vec<_>>());
            }
        }
    }
}
