//! The rule of numbers at the receiving end. Pure.
//!
//! Numbers of one spool are contiguous. A number already stored is skipped; a number beyond the next is a
//! gap nobody explained and refused: only a sender may declare a loss.

use crate::message::Numbered;

/// Which number is stored next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    next: u64,
}

/// Why a sender's numbers are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A number is missing and was not declared lost.
    #[error("report {got} came where {expected} was due, and {expected} to {} were not declared lost", got - 1)]
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// The sender's spool is older than what it already sent.
    #[error(
        "the sender would number its next report {next}, but reports up to {stored} of the same spool are stored: \
         its spool was put back to an older state; remove the spool's directory so that a new one is made"
    )]
    Stale {
        /// Last stored number.
        stored: u64,
        /// The number the sender would use next.
        next: u64,
    },
}

impl Ledger {
    /// Begins where the store ends, if the sender is not behind it.
    ///
    /// # Errors
    /// The sender would use numbers again.
    pub fn open(last: Option<u64>, next: u64) -> Result<Self, SequenceError> {
        match last {
            Some(stored) if next <= stored => Err(SequenceError::Stale { stored, next }),
            Some(stored) => Ok(Self { next: stored + 1 }),
            None => Ok(Self { next: 0 }),
        }
    }

    /// The report to store, cut to what is new; `None` when all of it is stored already.
    ///
    /// # Errors
    /// A gap.
    pub fn admit(&mut self, mut report: Numbered) -> Result<Option<Numbered>, SequenceError> {
        if report.first > self.next {
            return Err(SequenceError::Gap { expected: self.next, got: report.first });
        }
        if report.last < self.next {
            return Ok(None);
        }
        report.begin_at(self.next);
        self.next = report.last + 1;
        Ok(Some(report))
    }

    /// Last number admitted.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outis_model::input::{Health, Report};
    use proptest::prelude::*;

    fn report(seq: u64) -> Numbered {
        Numbered::report(seq, crate::Class::Decision, Report::Health(Health::default()))
    }

    #[test]
    fn a_gap_and_a_stale_sender_are_named() {
        let mut ledger = Ledger::open(Some(4), 9).expect("in step");
        assert_eq!(ledger.admit(report(4)), Ok(None));
        assert!(matches!(ledger.admit(report(5)), Ok(Some(_))));
        let gap = ledger.admit(report(8)).expect_err("6 and 7 are missing");
        assert_eq!(gap.to_string(), "report 8 came where 6 was due, and 6 to 7 were not declared lost");
        let stale = Ledger::open(Some(4), 4).expect_err("4 would be used twice").to_string();
        assert!(stale.contains("remove the spool's directory"), "{stale}");
    }

    #[test]
    fn a_loss_is_cut_to_what_is_not_stored() {
        let mut ledger = Ledger::open(Some(4), 20).expect("in step");
        let lost = ledger.admit(Numbered::lost(2, 9, "full".into())).expect("no gap").expect("new");
        assert_eq!((lost.first, lost.last), (5, 9));
        assert!(matches!(lost.report, Report::Lost { from: 5, to: 9, .. }));
    }

    proptest! {
        /// Whatever prefix is replayed however often, each number is admitted once and in order.
        #[test]
        fn replays_store_each_number_once(restarts in proptest::collection::vec(0u64..60, 0..8)) {
            let mut stored = Vec::new();
            let mut last = None;
            for from in restarts.into_iter().chain([0]) {
                let from = from.min(last.map_or(0, |l: u64| l + 1));
                let mut ledger = Ledger::open(last, 60).expect("60 is ahead");
                for seq in from..60u64.min(from + 17) {
                    if let Some(new) = ledger.admit(report(seq)).expect("contiguous") {
                        stored.push(new.first);
                    }
                }
                last = ledger.last();
            }
            prop_assert_eq!(&stored, &(0..stored.len() as u64).collect::<Vec<_>>());
        }
    }
}
