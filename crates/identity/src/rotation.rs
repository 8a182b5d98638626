//! Replacing the root while everybody goes on verifying. Pure: what is known goes in, the next step and
//! the reasons for it come out.
//!
//! | phase | bundle | signs | goes on when |
//! |---|---|---|---|
//! | steady | root | root | somebody asks, or a tenth of the root's life is left |
//! | prepared | old | old | the new root is at rest: nobody may hear of a root that a crash can lose |
//! | published | old, new | old | every live component holds this bundle |
//! | activated | old, new | new | the last leaf under the old root has ended |
//! | retiring | new | new | every live component holds this bundle |
//!
//! A component that is away, or does not take the bundle over, holds a phase up for `PATIENCE` and no longer:
//! then it is left out, by a decision that names it. It loses nothing by that: before it does anything else it
//! reads the roots where they are published.
//!
//! Why the leaves are waited for and not withdrawn: a workload may hold one without listening to us. Nobody who
//! can still show a valid leaf is refused for it.

use std::collections::BTreeMap;
use std::fmt;

use outis_model::input::Component;
use outis_model::{Decision, Reason, Timestamp};
use serde::{Deserialize, Serialize};

mod leaves;

pub use leaves::Leaves;

/// How long one component may hold a phase up, in seconds.
pub const PATIENCE: i64 = 120;
/// How long a bundle that a component has taken over may be under way to its workloads, in seconds.
pub const SETTLE: i64 = 10;
/// How far the clocks of those who verify may be behind ours, in seconds.
const SKEW: i64 = 10;
/// The shortest time both roots are trusted after the new one signs, in seconds: what was being signed at that
/// moment is counted by then.
const OVERLAP: i64 = 60;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One root, and nothing to do.
    #[default]
    Steady,
    /// A new root is at rest; nobody has heard of it.
    Prepared,
    /// Both roots are in the bundle; the old one signs.
    Published,
    /// Both roots are in the bundle; the new one signs.
    Activated,
    /// The old root is out of the bundle.
    Retiring,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Prepared => "prepared",
            Self::Published => "published",
            Self::Activated => "activated",
            Self::Retiring => "retiring",
        })
    }
}

/// The state of it; lies sealed with the authority, so that whoever opens the one goes on with the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How far.
    pub phase: Phase,
    /// The bundle's version: rises whenever its roots change.
    pub version: u64,
    /// Since when this phase is waited in.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: String,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { phase: Phase::Steady, version: 1, since: Timestamp::UNIX_EPOCH, by: String::new() }
    }
}

/// A component that has to hold the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Whether it is linked now.
    pub up: bool,
    /// The newest version it took over, and when it said so.
    pub holds: Option<(u64, Timestamp)>,
    /// Why it did not take a newer one over.
    pub error: Option<String>,
}

/// What a step is decided by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Every component that is meant to run.
    pub holders: BTreeMap<Component, Holder>,
    /// When the last leaf ends that is not under the root that signs.
    pub last_leaf: Option<Timestamp>,
    /// Whether little of the root's life is left.
    pub root_due: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Count the phase's time from now: the clock ran backwards.
    Recount,
    /// Make a new root.
    Prepare,
    /// Put it into the bundle beside the old one.
    Publish,
    /// Sign under it. These do not hold the bundle and are left out.
    Activate(Vec<Component>),
    /// Take the old root out of the bundle.
    Retire,
    /// All done. These do not hold the bundle and are left out.
    Finish(Vec<Component>),
}

/// What to do in this state, by what is seen.
pub fn step(rotation: &Rotation, seen: &Seen, now: Timestamp) -> Decision<Step> {
    // Only what is waited for by duration is counted anew: a leaf ends at its time, whatever was before.
    if rotation.phase != Phase::Steady && now < rotation.since {
        let text = format!("the clock ran back from {} to {now}; waiting begins anew", rotation.since);
        return Decision::because(Step::Recount, Reason::new("ClockRanBack", text));
    }
    match rotation.phase {
        Phase::Steady if seen.root_due => {
            let text = "a tenth of the root's life is left";
            Decision::because(Step::Prepare, Reason::new("RootDue", text))
        }
        Phase::Steady => {
            Decision::because(Step::Wait, Reason::new("Steady", "the root is not to be replaced"))
        }
        Phase::Prepared => {
            Decision::because(Step::Publish, Reason::new("AtRest", "the new root is sealed and kept"))
        }
        Phase::Published => held(rotation, seen, now, Step::Activate),
        Phase::Activated => ended(rotation, seen, now),
        Phase::Retiring => held(rotation, seen, now, Step::Finish),
    }
}

/// What a wish for a new root comes to. A second one while the first is under way changes nothing.
pub fn asked(rotation: &Rotation) -> Decision<Step> {
    if rotation.phase == Phase::Steady {
        return Decision::because(Step::Prepare, Reason::new("Asked", "somebody asked for a new root"));
    }
    let Rotation { phase, since, by, .. } = rotation;
    let text = format!("a new root is under way already: asked for by {by}, {phase} since {since}");
    Decision::because(Step::Wait, Reason::new("UnderWay", text))
}

impl Rotation {
    /// The state after a step.
    #[must_use]
    pub fn after(&self, step: &Step, by: &str, now: Timestamp) -> Self {
        let (phase, version) = match step {
            Step::Wait => return self.clone(),
            Step::Recount => (self.phase, self.version),
            Step::Prepare => (Phase::Prepared, self.version),
            Step::Publish => (Phase::Published, self.version + 1),
            Step::Activate(_) => (Phase::Activated, self.version),
            Step::Retire => (Phase::Retiring, self.version + 1),
            Step::Finish(_) => (Phase::Steady, self.version),
        };
        let by = if matches!(step, Step::Prepare) { by.to_owned() } else { self.by.clone() };
        Self { phase, version, since: now, by }
    }

    /// The state for a controller that has just begun: nobody is linked to it yet, and those who were must
    /// have their time to come back.
    #[must_use]
    pub fn resumed(self, now: Timestamp) -> Self {
        if self.phase == Phase::Steady { self } else { Self { since: now, ..self } }
    }
}

/// Waits until everybody who lives holds the version.
fn held(
    rotation: &Rotation,
    seen: &Seen,
    now: Timestamp,
    then: fn(Vec<Component>) -> Step,
) -> Decision<Step> {
    let (mut waits, mut without, mut because) = (vec![], vec![], vec![]);
    for (component, holder) in &seen.holders {
        match stands(rotation, holder, now) {
            Stands::Holds => {}
            Stands::Settles => {
                let text = format!("{} has it and hands it on", named(component));
                waits.push(Reason::new("Settling", text));
            }
            Stands::Lacks(why) => {
                waits.push(Reason::new("NotHeld", format!("{} {why}", named(component))));
            }
            Stands::LeftOut(why) => {
                let text = format!(
                    "{} {why} for {PATIENCE} s; it reads the roots when it is back",
                    named(component)
                );
                because.push(Reason::new("LeftOut", text));
                without.push(component.clone());
            }
        }
    }
    if !waits.is_empty() {
        return Decision { outcome: Step::Wait, because: waits };
    }
    let count = seen.holders.len() - without.len();
    let text = format!("{count} of {} components hold bundle {}", seen.holders.len(), rotation.version);
    because.insert(0, Reason::new("Held", text));
    Decision { outcome: then(without), because }
}

enum Stands {
    Holds,
    Settles,
    Lacks(String),
    LeftOut(String),
}

fn stands(rotation: &Rotation, holder: &Holder, now: Timestamp) -> Stands {
    match holder.holds {
        // Either way: a time of before the clock ran back must not be waited for.
        Some((version, at)) if version >= rotation.version => {
            let settled = (now.as_second() - at.as_second()).abs() >= SETTLE;
            return if settled { Stands::Holds } else { Stands::Settles };
        }
        _ => {}
    }
    let why = match (&holder.error, holder.up) {
        (Some(error), true) => format!("has not taken bundle {} over ({error})", rotation.version),
        (None, true) => format!("has not taken bundle {} over", rotation.version),
        (_, false) => "has been away".to_owned(),
    };
    match now.as_second() - rotation.since.as_second() >= PATIENCE {
        true => Stands::LeftOut(why),
        false => Stands::Lacks(why),
    }
}

/// Waits until no leaf under the old root can be shown any more.
fn ended(rotation: &Rotation, seen: &Seen, now: Timestamp) -> Decision<Step> {
    let earliest = rotation.since.as_second() + OVERLAP;
    let last = seen.last_leaf.map_or(earliest, |last| earliest.max(last.as_second() + SKEW));
    if now.as_second() < last {
        let until = Timestamp::from_second(last).unwrap_or(now);
        let text = format!("leaves under the old root are out until {until}");
        return Decision::because(Step::Wait, Reason::new("LeavesOut", text));
    }
    Decision::because(Step::Retire, Reason::new("LeavesEnded", "every leaf under the old root has ended"))
}

fn named(component: &Component) -> String {
    format!("{component} (pod {} on {})", component.pod, component.node)
}

#[cfg(test)]
mod tests;
