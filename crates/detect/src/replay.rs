//! Recorded events judged again, offline: one JSON event per line.

use std::io::{self, BufRead, Read};

use outis_model::Timestamp;
use outis_model::alert::Match;
use outis_model::event::Event;

use crate::partition::Partition;
use crate::rules::RuleSet;
use crate::step::step;

/// Bytes of one recorded event.
const MAX_LINE: u64 = 1 << 20;

/// Why a recording cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFault {
    /// The reader failed.
    #[error("cannot read line {line} of the recording")]
    Read {
        /// From 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is too long to be an event.
    #[error("line {line} of the recording is longer than {MAX_LINE} bytes; one event stands on one line")]
    TooLong {
        /// From 1.
        line: u64,
    },
    /// A line is no event.
    #[error("line {line} of the recording is not an event of this version: {source}")]
    NotAnEvent {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Matches of a recording, one by one, each with the time of its event.
pub struct Replay<'a, R> {
    rules: &'a RuleSet,
    state: Partition,
    reader: R,
    line: u64,
    text: String,
    waiting: std::collections::VecDeque<(Timestamp, Match)>,
    ended: bool,
}

/// Judges a recording. Reading stops at the first fault, which is the last thing returned.
pub fn replay<R: BufRead>(rules: &RuleSet, state: Partition, reader: R) -> Replay<'_, R> {
    Replay { rules, state, reader, line: 0, text: String::new(), waiting: [].into(), ended: false }
}

impl<R> Replay<'_, R> {
    /// What the partition did and lost so far.
    #[must_use]
    pub fn counters(&self) -> crate::Counters {
        self.state.counters()
    }
}

impl<R: BufRead> Replay<'_, R> {
    /// The next event; none at the end.
    fn event(&mut self) -> Result<Option<Event>, ReplayFault> {
        loop {
            self.line += 1;
            let line = self.line;
            self.text.clear();
            let read = (&mut self.reader).take(MAX_LINE + 1).read_line(&mut self.text);
            match read.map_err(|source| ReplayFault::Read { line, source })? {
                0 => return Ok(None),
                read if read as u64 > MAX_LINE => return Err(ReplayFault::TooLong { line }),
                _ if self.text.trim().is_empty() => {}
                _ => {
                    let event = serde_json::from_str(&self.text);
                    return event.map(Some).map_err(|source| ReplayFault::NotAnEvent { line, source });
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for Replay<'_, R> {
    type Item = Result<(Timestamp, Match), ReplayFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.is_empty() && !self.ended {
            match self.event() {
                Ok(Some(event)) => {
                    let matches = step(self.rules, &mut self.state, &event);
                    self.waiting.extend(matches.into_iter().map(|found| (event.time, found)));
                }
                Ok(None) => self.ended = true,
                Err(fault) => {
                    self.ended = true;
                    return Some(Err(fault));
                }
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}
