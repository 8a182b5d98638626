use super::*;
use proptest::prelude::*;

fn spool(entries: usize, bytes: usize) -> MemorySpool {
    MemorySpool::new("s1".into(), SpoolLimits { entries, bytes })
}

fn numbers(spool: &MemorySpool) -> Vec<(u64, u64)> {
    let rows = spool.peek(0, usize::MAX, usize::MAX).expect("memory");
    rows.iter().map(|entry| (entry.first(), entry.last())).collect()
}

#[test]
fn the_oldest_of_the_least_class_goes_first() {
    let spool = spool(3, 1000);
    let push = |class| spool.push(vec![(class, vec![1; 10])]).expect("memory");
    for class in [Class::Detection, Class::Decision, Class::Mergeable, Class::Detection, Class::Detection] {
        push(class);
    }
    assert_eq!(numbers(&spool), [(0, 0), (1, 2), (3, 3), (4, 4)]);
    assert_eq!(spool.depth(), (3, 30, 2));
}

#[test]
fn a_peek_ends_at_its_bound_but_gives_at_least_one() {
    let spool = spool(10, 1000);
    spool.push((0..5).map(|_| (Class::Decision, vec![0; 100])).collect()).expect("memory");
    assert_eq!(spool.peek(0, 10, 250).expect("memory").len(), 2);
    assert_eq!(spool.peek(1, 10, 1).expect("memory")[0].first(), 1);
    assert_eq!(spool.peek(0, 3, 1000).expect("memory").len(), 3);
}

proptest! {
    /// Rows always cover every number that is not acknowledged, once, within the bound; and what was
    /// lost is what the gaps say.
    #[test]
    fn numbers_stay_contiguous_and_losses_exact(
        steps in proptest::collection::vec((0u8..4, 1usize..60), 1..120),
    ) {
        let spool = spool(12, 400);
        let mut acked = 0;
        for (step, size) in steps {
            let class = [Class::Mergeable, Class::Decision, Class::Detection].get(usize::from(step));
            if let Some(class) = class {
                spool.push(vec![(*class, vec![0; size])]).expect("memory");
            } else if let Some((_, last)) = numbers(&spool).get(size % 5) {
                spool.ack(*last).expect("memory");
                acked = last + 1;
            }
            let mut expected = acked;
            let (mut reports, mut bytes) = (0, 0);
            for entry in spool.peek(0, usize::MAX, usize::MAX).expect("memory") {
                prop_assert_eq!(entry.first(), expected);
                expected = entry.last() + 1;
                reports += usize::from(matches!(entry, Entry::Report { .. }));
                bytes += entry.size();
            }
            prop_assert_eq!(expected, spool.next());
            prop_assert!(reports <= 12 && bytes <= 400);
            prop_assert_eq!((reports, bytes), (spool.depth().0, spool.depth().1));
        }
    }

    #[test]
    fn the_loss_counter_equals_the_gaps(pushed in 1u64..200) {
        let spool = spool(20, usize::MAX);
        for _ in 0..pushed {
            spool.push(vec![(Class::Detection, vec![0])]).expect("memory");
        }
        let gaps = spool.peek(0, usize::MAX, usize::MAX).expect("memory").into_iter().map(|entry| match entry {
            Entry::Gap { from, to } => to - from + 1,
            Entry::Report { .. } => 0,
        });
        prop_assert_eq!(gaps.sum::<u64>(), spool.depth().2);
        prop_assert_eq!(spool.depth().2, pushed.saturating_sub(20));
    }
}
