//! Which leaves are out, by holder and root: what tells when nobody can show one of an old root any more.

use std::collections::BTreeMap;

use outis_model::{PodUid, Timestamp};

/// Holders told apart at most; beyond, only the latest end of all is kept.
const LIMIT: usize = 262_144;

/// The ends of leaves.
#[derive(Debug, Clone, Default)]
pub struct Leaves {
    /// By the pod's UID and the root's fingerprint.
    ends: BTreeMap<(PodUid, String), Timestamp>,
    /// Until when there may be leaves nobody can name.
    unnamed: Option<Timestamp>,
}

impl Leaves {
    /// A leaf was issued to a pod, under a root.
    pub fn issued(&mut self, pod: &PodUid, root: &str, until: Timestamp) {
        let key = (pod.clone(), root.to_owned());
        if self.ends.len() >= LIMIT && !self.ends.contains_key(&key) {
            return self.unnamed(until);
        }
        let held = self.ends.entry(key).or_insert(until);
        *held = until.max(*held);
    }

    /// There may be leaves until then, of whomever and under whichever root.
    pub fn unnamed(&mut self, until: Timestamp) {
        self.unnamed = self.unnamed.max(Some(until));
    }

    /// Takes another's in.
    pub fn join(&mut self, other: Self) {
        other.ends.into_iter().for_each(|((pod, root), until)| self.issued(&pod, &root, until));
        if let Some(until) = other.unnamed {
            self.unnamed(until);
        }
    }

    /// Pods that have leaves which can be named.
    pub fn pods(&self) -> impl Iterator<Item = &PodUid> {
        self.ends.keys().map(|(pod, _)| pod)
    }

    /// Lets go what has ended.
    pub fn forget(&mut self, now: Timestamp) {
        self.ends.retain(|_, until| *until > now);
        self.unnamed = self.unnamed.filter(|until| *until > now);
    }

    /// When the last leaf ends that is not under `root`. What was issued to a pod that is gone nobody holds.
    #[must_use]
    pub fn last_but(&self, root: &str, there: impl Fn(&PodUid) -> bool) -> Option<Timestamp> {
        let others = self.ends.iter().filter(|((pod, under), _)| under != root && there(pod));
        others.map(|(_, until)| *until).max().max(self.unnamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> PodUid {
        text.parse().expect("uid")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    #[test]
    fn the_last_leaf_of_another_root_counts_unless_its_pod_is_gone() {
        let mut leaves = Leaves::default();
        leaves.issued(&uid("a"), "old", at(100));
        leaves.issued(&uid("a"), "old", at(90));
        leaves.issued(&uid("gone"), "old", at(900));
        leaves.issued(&uid("a"), "new", at(500));
        assert_eq!(leaves.last_but("new", |pod| pod.as_str() != "gone"), Some(at(100)));
        assert_eq!(leaves.last_but("new", |_| true), Some(at(900)));
        leaves.forget(at(100));
        assert_eq!(leaves.last_but("new", |pod| pod.as_str() != "gone"), None);
        assert_eq!(leaves.last_but("old", |_| true), Some(at(500)));
    }

    #[test]
    fn what_nobody_can_name_is_waited_for() {
        let mut leaves = Leaves::default();
        leaves.unnamed(at(300));
        leaves.unnamed(at(200));
        assert_eq!(leaves.last_but("new", |_| false), Some(at(300)));
        leaves.forget(at(300));
        assert_eq!(leaves.last_but("new", |_| true), None);
    }

    #[test]
    fn more_holders_than_can_be_told_apart_are_never_forgotten_early() {
        let mut leaves = Leaves::default();
        for pod in 0..LIMIT {
            leaves.issued(&uid(&pod.to_string()), "old", at(10));
        }
        leaves.issued(&uid("one-more"), "old", at(700));
        assert_eq!(leaves.last_but("new", |_| false), Some(at(700)));
    }
}
