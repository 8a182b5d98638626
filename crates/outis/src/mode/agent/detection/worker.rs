//! One ring's worker: decode, place, judge.

use std::sync::Arc;

use outis_detect::{Limits, Partition, PathTest, RuleSet, step};
use outis_model::event::{Event, What};
use outis_model::snapshot::Snapshot;
use outis_node::{Attribution, Hold, Interest, Kind, Opens, Ring};
use tokio::sync::watch;

use super::Shared;
use super::names::Names;

pub(super) struct Worker {
    shared: Arc<Shared>,
    ring: Ring,
    attribution: Attribution,
    partition: Partition,
    names: Names,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        ring: Ring,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        own_cgroup: &str,
    ) -> Self {
        let names = Names::new(shared.node.as_str());
        let attribution = Attribution::new(snapshot, own_cgroup, Hold::default());
        Self { shared, ring, attribution, partition: Partition::new(Limits::default()), names }
    }

    /// For ever.
    pub(super) async fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            if let Err(error) = self.ring.events(&mut self.attribution, &mut ready).await {
                let why = crate::exit::chain(&anyhow::Error::new(error));
                tracing::error!(why, ring = self.ring.index(), "A ring cannot be read");
                return self.shared.pulse.protection("detection", false, why);
            }
            self.judge(&mut ready);
        }
    }

    fn judge(&mut self, ready: &mut Vec<Event>) {
        let rules = self.shared.rules.load();
        self.shared.pulse.count("events_total", ready.len() as u64);
        for event in ready.drain(..) {
            if let (What::Exec(_) | What::Seen(_), Some(workload)) = (&event.what, event.place.workload())
                && let Some(knowledge) = self.names.of_container(workload, event.task.pid)
            {
                self.partition.know(knowledge);
            }
            for found in step(&rules, &mut self.partition, &event) {
                self.shared.alerts.take(found, &event);
            }
        }
        let (held, counters) = (self.attribution.held(), self.partition.counters());
        let ring = self.ring.index();
        for (name, value) in [
            ("events_damaged_total", self.ring.damaged()),
            ("held_dropped_total", held.dropped),
            ("held_unknown_total", held.unknown),
            ("processes", counters.processes),
            ("processes_evicted_total", counters.evicted),
        ] {
            self.shared.pulse.set(&format!("{name}{{ring=\"{ring}\"}}"), value);
        }
    }
}

/// What the kernel need not tell, by the rules' own superset.
pub(super) fn interest(rules: &RuleSet) -> Interest {
    let interest = rules.interest();
    let about = |names: &[&str]| names.iter().any(|name| interest.about(name).next().is_some());
    let mut kinds = vec![Kind::Exec, Kind::Fork, Kind::Exit];
    let opening = ["open", "openat", "openat2", "creat"];
    if about(&opening) {
        kinds.push(Kind::Open);
    }
    if about(&["connect"]) {
        kinds.push(Kind::Connect);
    }
    if about(&["accept", "accept4"]) {
        kinds.push(Kind::Accept);
    }
    let mut opens = Opens::Listed { writes: false, prefixes: vec![], suffixes: vec![] };
    for case in opening.iter().flat_map(|name| interest.about(name)) {
        let Opens::Listed { writes, prefixes, suffixes } = &mut opens else { break };
        // A case that is about writing alone passes by its flag, whatever the path.
        if case.write == Some(true) {
            *writes = true;
            continue;
        }
        let listed = case.paths.as_ref().is_some_and(|tests| {
            tests.iter().all(|test| match test {
                PathTest::Is(path) | PathTest::Starts(path) => {
                    prefixes.push(path.clone());
                    path.starts_with('/')
                }
                PathTest::Ends(path) => {
                    suffixes.push(path.rsplit('/').next().unwrap_or(path).to_owned());
                    !path.ends_with('/')
                }
                PathTest::Contains(_) => false,
            })
        });
        if !listed {
            opens = Opens::All;
        }
    }
    Interest { kinds, opens }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_pack_asks_for_listed_opens_and_for_no_connections() {
        let asked = interest(&crate::rules::compile(&[]).expect("sound"));
        assert!(
            matches!(&asked.opens, Opens::Listed { prefixes, .. } if prefixes.iter().any(|path| path == "/etc/shadow")),
            "{asked:?}"
        );
        assert!(asked.kinds.contains(&Kind::Exec) && !asked.kinds.contains(&Kind::Connect), "{asked:?}");
    }
}
