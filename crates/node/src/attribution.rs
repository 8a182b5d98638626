//! From a cgroup to a workload, by the cluster's snapshot.
//!
//! The kernel is faster than the API: the first events of a new pod arrive before anyone here knows it.
//! They wait, in order and for a bounded time, instead of being told without a place. Nothing in here
//! reads a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outis_model::event::{Event, Place};
use outis_model::snapshot::Snapshot;
use tokio::sync::watch;

use crate::cgroup::{Anchor, NodePrefix};
use crate::decode::Decoded;

mod workload;
use workload::{Answer, answer};

/// How long and how many events may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// How long the first event of a container waits at most.
    pub time: Duration,
    /// How many events of one container wait at most.
    pub events: usize,
}

impl Default for Hold {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), events: 4096 }
    }
}

/// What waits and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Held {
    /// Events that wait now.
    pub waiting: usize,
    /// Events that were dropped because too many waited.
    pub dropped: u64,
    /// Containers that were given up on.
    pub unknown: u64,
}

/// Cgroups remembered; more are looked at again.
const REMEMBERED: usize = 8192;

/// Places events. One worker owns one; all may share a snapshot.
#[derive(Debug)]
pub struct Attribution {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    hold: Hold,
    prefix: NodePrefix,
    anchors: HashMap<u64, Option<Anchor>>,
    known: HashMap<Anchor, Known>,
    waiting: HashMap<Anchor, Waiting>,
    dropped: u64,
    unknown: u64,
}

/// An answer, good until the snapshot changes.
#[derive(Debug)]
struct Known {
    place: Place,
    /// Nobody could tell in time; asked again after a change, but nothing waits for it any more.
    given_up: bool,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    events: VecDeque<Event>,
    /// What to say when time is up.
    otherwise: Place,
}

impl Attribution {
    /// Places events by this snapshot. `own_cgroup` is [`Sensor::own_cgroup`](crate::Sensor::own_cgroup).
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>, own_cgroup: &str, hold: Hold) -> Self {
        Self {
            snapshots,
            hold,
            prefix: NodePrefix::of(own_cgroup),
            anchors: HashMap::new(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            dropped: 0,
            unknown: 0,
        }
    }

    /// Places an event, or keeps it. What is ready is appended to `ready`, each container's in order.
    pub fn take(&mut self, decoded: Decoded, now: Instant, ready: &mut Vec<Event>) {
        self.refresh(ready);
        let Decoded { mut event, cgroup, cgroup_path } = decoded;
        let Some(anchor) = self.anchor(cgroup, &cgroup_path) else {
            event.place = Place::Host;
            ready.push(event);
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(&anchor) {
            match waiting.events.len() < self.hold.events {
                true => waiting.events.push_back(event),
                false => self.dropped += 1,
            }
            return;
        }
        if let Some(known) = self.known.get(&anchor) {
            event.place = known.place.clone();
            ready.push(event);
            return;
        }
        match answer(&self.snapshots.borrow(), &anchor) {
            Answer::Now(place) => {
                event.place = place.clone();
                ready.push(event);
                self.known.insert(anchor, Known { place, given_up: false });
            }
            Answer::Later { otherwise } => {
                let events = VecDeque::from([event]);
                self.waiting.insert(anchor, Waiting { since: now, events, otherwise });
            }
        }
    }

    /// Releases what can be told by now and what has waited for too long.
    pub fn release(&mut self, now: Instant, ready: &mut Vec<Event>) {
        self.refresh(ready);
        let hold = self.hold.time;
        let late: Vec<Anchor> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| now.saturating_duration_since(waiting.since) >= hold)
            .map(|(anchor, _)| anchor.clone())
            .collect();
        for anchor in late {
            let Some(waiting) = self.waiting.remove(&anchor) else { continue };
            self.unknown += 1;
            let place = waiting.otherwise.clone();
            self.known.insert(anchor, Known { place: place.clone(), given_up: true });
            deliver(waiting, &place, ready);
        }
    }

    /// When [`Self::release`] should be called again at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.since + self.hold.time).min()
    }

    /// Waits until the snapshot changes; for ever when its owner is gone.
    pub async fn changed(&mut self) {
        // The next `refresh` must see the change, too: it is looked at through a copy.
        let mut copy = self.snapshots.clone();
        if copy.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What waits, and what was lost by waiting.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            waiting: self.waiting.values().map(|waiting| waiting.events.len()).sum(),
            dropped: self.dropped,
            unknown: self.unknown,
        }
    }

    fn anchor(&mut self, cgroup: u64, path: &str) -> Option<Anchor> {
        if let Some(anchor) = self.anchors.get(&cgroup) {
            return anchor.clone();
        }
        let anchor = Anchor::of(self.prefix.strip(path));
        if self.anchors.len() >= REMEMBERED {
            self.anchors.clear();
        }
        // No id means that the kernel could not tell the cgroup.
        if cgroup != 0 {
            self.anchors.insert(cgroup, anchor.clone());
        }
        anchor
    }

    /// After a change of the snapshot every answer is asked for again.
    fn refresh(&mut self, ready: &mut Vec<Event>) {
        if !self.snapshots.has_changed().unwrap_or(false) {
            return;
        }
        let snapshot = self.snapshots.borrow_and_update().clone();
        self.known.retain(|anchor, known| {
            // What was given up on stays so until there is an answer: its events never wait again.
            if known.given_up
                && let Answer::Later { otherwise } = answer(&snapshot, anchor)
            {
                known.place = otherwise;
                return true;
            }
            false
        });
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let asked: Vec<(Anchor, Answer)> =
            self.waiting.keys().map(|anchor| (anchor.clone(), answer(&snapshot, anchor))).collect();
        for (anchor, found) in asked {
            match found {
                Answer::Now(place) => {
                    let Some(waiting) = self.waiting.remove(&anchor) else { continue };
                    deliver(waiting, &place, ready);
                    self.known.insert(anchor, Known { place, given_up: false });
                }
                Answer::Later { otherwise } => {
                    if let Some(waiting) = self.waiting.get_mut(&anchor) {
                        waiting.otherwise = otherwise;
                    }
                }
            }
        }
    }
}

fn deliver(waiting: Waiting, place: &Place, ready: &mut Vec<Event>) {
    ready.extend(waiting.events.into_iter().map(|event| Event { place: place.clone(), ..event }));
}

#[cfg(test)]
mod tests;
