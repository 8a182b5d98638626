//! One life of the guest: from its start to the cut.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::guest::{Flushes, Guest};
use crate::writer::told;

/// How long a guest may take to get where it is cut off.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a guest told before it was cut off.
#[derive(Default)]
pub(crate) struct Life {
    /// Records it found at its start.
    pub(crate) kept: BTreeSet<u64>,
    /// Records that the log's own check walked over.
    pub(crate) verified: Option<u64>,
    /// Why it took its log for damaged.
    pub(crate) damage: Option<String>,
    /// Records it wrote and acknowledged.
    pub(crate) acknowledged: Vec<u64>,
}

impl Life {
    /// Starts the guest and cuts it off so long after so many acknowledgements. A damaged log ends it early.
    pub(crate) fn of(guest: &Guest, first: u64, flushes: Flushes, least: usize, then: Duration) -> Self {
        let mut running = guest.start(first, flushes);
        let mut life = Self::default();
        let given_up = Instant::now() + PATIENCE;
        let mut cut = None;
        while cut.is_none_or(|at| Instant::now() < at) && life.damage.is_none() {
            let left = cut.unwrap_or(given_up).saturating_duration_since(Instant::now());
            match running.lines.recv_timeout(left) {
                Ok(line) => life.hear(&line),
                Err(_) if cut.is_some() => break,
                Err(error) => panic!("the guest was not heard of again: {error}\n{}", guest.console()),
            }
            if cut.is_none() && life.acknowledged.len() >= least {
                cut = Some(Instant::now() + then);
            }
        }
        running.cut();
        running.lines.iter().for_each(|line| life.hear(&line));
        life
    }

    fn hear(&mut self, line: &str) {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        if let Some(text) = told(line, "acknowledged") {
            self.acknowledged.push(number(text));
        } else if let Some(text) = told(line, "kept") {
            self.kept.insert(number(text));
        } else if let Some(text) = told(line, "verified") {
            self.verified = Some(number(text));
        } else if let Some(text) = told(line, "damaged") {
            self.damage = Some(text.to_owned());
        }
    }
}
