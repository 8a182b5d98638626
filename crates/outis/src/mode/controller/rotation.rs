//! Replaces root and intermediate. What to do is decided in `outis_identity::rotation`; here it is looked up what
//! that decision needs, done, and written down. One task does all of it: nobody else changes the authority.

mod past;
mod tell;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use outis_identity::Authority;
use outis_identity::attest::component_in;
use outis_identity::rotation::{self, Holder, Phase, Seen, Step};
use outis_identity::tls::{Credential, Trust};
use outis_model::input::Component;
use outis_model::port::Refusal;
use outis_model::{Reason, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::house::{House, unavailable};
use super::owner::World;
use super::{ca, publish, renew};
use crate::link::bundle;

/// Who does what nobody asked for.
const OURSELVES: &str = "outis:controller";
/// How often it is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Between two attempts when one failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The root, and all below it.
    Root,
    /// The intermediate alone.
    Intermediate,
}

/// Somebody wants it replaced; the answer says what comes of that.
pub(crate) struct Ask {
    pub(crate) by: String,
    pub(crate) what: Wanted,
    pub(crate) answer: oneshot::Sender<Result<String, Refusal>>,
}

/// The task.
pub(crate) struct Keeper {
    house: Arc<House>,
    credential: Credential,
    trust: Trust,
    asks: mpsc::Receiver<Ask>,
    /// The bundle that is published and trusted.
    published: u64,
    /// The root our own certificate is under.
    shown: String,
}

impl Keeper {
    /// For a house whose bundle is published and whose own certificate was just made.
    pub(crate) fn new(
        house: Arc<House>,
        credential: Credential,
        trust: Trust,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        let authority = house.authority.load_full();
        let (published, shown) = (authority.rotation().version, authority.root());
        Self { house, credential, trust, asks, published, shown }
    }

    /// Keeps root and intermediate right, for ever. `unknown`: the log knows nothing of what this authority issued.
    pub(crate) async fn run(mut self, unknown: bool) {
        past::recall(&self.house, unknown).await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.answer(ask).await,
                    None => return,
                },
                _ = ticks.tick() => self.tick(&mut ticks).await,
            }
        }
    }

    async fn tick(&mut self, ticks: &mut tokio::time::Interval) {
        match self.look(Timestamp::now()).await {
            Ok(()) => self.house.protection("authority", true, self.note()),
            Err(error) => {
                let why = crate::exit::chain(&error);
                tracing::error!(error = why, "Root or intermediate cannot be replaced");
                self.house.protection("authority", false, format!("it cannot go on being replaced: {why}"));
                ticks.reset_after(AGAIN);
            }
        }
    }

    fn note(&self) -> String {
        match self.house.authority.load().rotation().phase {
            Phase::Steady => "can sign".to_owned(),
            phase => format!("can sign; a new root is {phase}"),
        }
    }

    async fn answer(&mut self, ask: Ask) {
        let done = match ask.what {
            Wanted::Intermediate => self.renew_intermediate(&ask.by, Timestamp::now()).await,
            Wanted::Root => self.begin(&ask.by).await,
        };
        // Who asked may have gone.
        let _ = ask.answer.send(done.map_err(unavailable));
    }

    async fn begin(&mut self, by: &str) -> Result<String> {
        let decision = rotation::asked(self.house.authority.load().rotation());
        let said = decision.because.iter().map(|reason| reason.text.clone()).collect::<Vec<_>>().join("; ");
        if decision.outcome == Step::Prepare {
            self.step(&decision.outcome, decision.because, by, Timestamp::now()).await?;
        }
        Ok(said)
    }

    async fn look(&mut self, now: Timestamp) -> Result<()> {
        self.follow().await?;
        let (authority, world) = (self.house.authority.load_full(), self.house.world());
        if authority.due(now) {
            self.renew_intermediate(OURSELVES, now).await?;
        }
        // Who is meant to run is known when the whole cluster was seen.
        if !world.synced() {
            return Ok(());
        }
        let decision = rotation::step(authority.rotation(), &self.seen(&authority, &world, now), now);
        let texts = decision.because.iter().map(ToString::to_string);
        let waiting = (authority.rotation().phase != Phase::Steady).then(|| texts.collect());
        *self.house.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting.unwrap_or_default();
        match decision.outcome {
            Step::Wait => Ok(()),
            step => self.step(&step, decision.because, OURSELVES, now).await,
        }
    }

    fn seen(&self, authority: &Authority, world: &World, now: Timestamp) -> Seen {
        let mut leaves = self.house.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        leaves.forget(now);
        let there = |pod: &_| world.snapshot.pod_by_uid(pod).is_some_and(|pod| !pod.ended);
        // Nobody else needs to know, and there may be many.
        let activated = authority.rotation().phase == Phase::Activated;
        Seen {
            holders: holders(world, &self.house.home),
            last_leaf: activated.then(|| leaves.last_but(&authority.root(), there)).flatten(),
            root_due: authority.root_due(now),
        }
    }

    /// At rest first, then in the log, then in force.
    async fn step(&mut self, step: &Step, because: Vec<Reason>, by: &str, now: Timestamp) -> Result<()> {
        let next = self.house.authority.load().stepped(step, by, now)?;
        ca::rest(&self.house, &next).await?;
        if let Some(record) = tell::stepped(&next, step, because, now) {
            tracing::info!(phase = %next.rotation().phase, version = next.rotation().version, "Root rotation");
            self.house.append(vec![record]).await.context("cannot record the step")?;
        }
        self.house.authority.store(Arc::new(next));
        // What was waited for is there; what comes next is looked at next.
        self.house.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.follow().await
    }

    /// What follows from the authority as it is. Until it is done no step is taken.
    async fn follow(&mut self) -> Result<()> {
        let authority = self.house.authority.load_full();
        if self.shown != authority.root() {
            renew(&self.house, &self.credential).context("cannot renew our own certificate")?;
            self.shown = authority.root();
        }
        if self.published != authority.rotation().version {
            let House { client, home, domain, .. } = &*self.house;
            self.trust.set(&authority.roots())?;
            // Published where everybody can read it before anybody is told: who is told and comes back reads it.
            ca::publish(client, home, domain, &authority).await?;
            publish(&self.house);
            self.published = authority.rotation().version;
        }
        Ok(())
    }

    /// The root stays, so nobody need be told.
    async fn renew_intermediate(&mut self, by: &str, now: Timestamp) -> Result<String> {
        let next = self.house.authority.load().rotated(now)?;
        ca::rest(&self.house, &next).await?;
        let record = tell::intermediate(&next, by, now);
        let said = record.summary.clone();
        self.house.append(vec![record]).await.context("cannot record the new intermediate")?;
        self.house.authority.store(Arc::new(next));
        tracing::info!(by, "Intermediate replaced");
        Ok(said)
    }
}

/// Every component that is meant to run, and what it holds.
fn holders(world: &World, home: &outis_model::Namespace) -> BTreeMap<Component, Holder> {
    let components = world.snapshot.pods().filter_map(|pod| component_in(pod, home));
    let held = |component: Component| {
        let linked = world.components.get(&component);
        let holding = linked.and_then(|state| state.holds.get(bundle::NAME));
        let holder = Holder {
            up: linked.is_some_and(|state| state.up),
            holds: holding.and_then(|holding| holding.version),
            error: holding.and_then(|holding| holding.error.clone()),
        };
        (component, holder)
    };
    components.map(held).collect()
}
