//! What the controller's doors share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use kube::Client;
use outis_api::OutisSpec;
use outis_identity::Authority;
use outis_identity::rotation::Leaves;
use outis_model::effect::Resource;
use outis_model::input::{Component, Protection};
use outis_model::name::PodUid;
use outis_model::port::{Refusal, TrustBundle};
use outis_model::snapshot::Pod;
use outis_model::{Input, Namespace, Record, Timestamp, TrustDomain};
use outis_store::{Log, State, StoreError};
use tokio::sync::{mpsc, watch};

use super::owner::World;
use super::rotation::Ask;
use crate::status::Unjudged;

/// The rooms behind the doors.
pub(crate) struct House {
    pub(crate) client: Client,
    pub(crate) home: Namespace,
    pub(crate) domain: TrustDomain,
    pub(crate) log: Log,
    pub(crate) state: State,
    pub(crate) authority: ArcSwap<Authority>,
    /// Which leaves are out.
    pub(crate) leaves: Mutex<Leaves>,
    /// What the rotation of the root waits for.
    pub(crate) waiting: Mutex<Vec<String>>,
    /// Where a rotation is asked for.
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) settings: watch::Receiver<OutisSpec>,
    pub(crate) world: watch::Receiver<Arc<World>>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) since: Timestamp,
    /// Pods that were issued a certificate before: they go on being renewed when the disk is full.
    pub(crate) known: Mutex<BTreeSet<PodUid>>,
    /// What was turned away, by reason.
    pub(crate) refused: Mutex<BTreeMap<String, u64>>,
    /// What was left out for want of room or of an answer, by what.
    pub(crate) dropped: Mutex<BTreeMap<String, u64>>,
    /// What the controller itself keeps up.
    pub(crate) protections: Mutex<BTreeMap<&'static str, Protection>>,
    /// What we measure of ourselves, by the metric's name.
    pub(crate) measures: Mutex<BTreeMap<String, u64>>,
    /// What was admitted while nobody judged.
    pub(crate) unjudged: Mutex<Unjudged>,
    /// What components hold; the same for all of one role.
    pub(crate) resources: watch::Sender<Arc<[Resource]>>,
}

/// Opens log and state of a store.
pub(crate) async fn open(dir: std::path::PathBuf) -> Result<(Log, State)> {
    let opened = tokio::task::spawn_blocking(move || {
        let shown = dir.display().to_string();
        let log = Log::open(&dir, &outis_store::Options::default());
        let log = log.with_context(|| format!("cannot open the record log in {shown}"))?;
        let state = State::open(&dir).with_context(|| format!("cannot open the state in {shown}"))?;
        anyhow::Ok((log, state))
    });
    opened.await.context("the thread that opens the store ended")?
}

impl House {
    /// The world as it is now.
    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.borrow())
    }

    /// Roots for everyone.
    pub(crate) fn bundle(&self) -> TrustBundle {
        let authority = self.authority.load();
        TrustBundle {
            trust_domain: self.domain.clone(),
            roots: authority.roots(),
            sequence: authority.rotation().version,
        }
    }

    /// Hands an input to the owner; when it is too busy the loss is counted.
    pub(crate) fn tell(&self, input: Input) {
        if self.inputs.try_send(input).is_err() {
            self.count(&self.dropped, "inputs");
        }
    }

    /// Records on disk; how that went is shown.
    pub(crate) async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let done = self.log.append(records).await.map(drop);
        match &done {
            Ok(()) => self.protection("log", true, "takes records"),
            Err(error) => self.protection("log", false, crate::exit::causes(error)),
        }
        done
    }

    /// Whether the last records given were kept.
    pub(crate) fn keeps_records(&self) -> bool {
        let protections = self.protections.lock().unwrap_or_else(PoisonError::into_inner);
        protections.get("log").is_none_or(|log| log.active)
    }

    /// Counts one up.
    pub(crate) fn count(&self, counts: &Mutex<BTreeMap<String, u64>>, what: &str) {
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_owned()).or_default() += 1;
    }

    /// Says how something the controller keeps up is.
    pub(crate) fn protection(&self, name: &'static str, active: bool, note: impl Into<String>) {
        let protection = Protection { name: name.into(), active, note: note.into() };
        self.protections.lock().unwrap_or_else(PoisonError::into_inner).insert(name, protection);
    }

    /// Something is not kept up any more because nobody asks for it.
    pub(crate) fn unprotected(&self, name: &str) {
        self.protections.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Takes a measure.
    pub(crate) fn measure(&self, name: &str, value: u64) {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    /// Does what may wait for the disk on a thread that may.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log, &State) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (log, state) = (self.log.clone(), self.state.clone());
        let done = tokio::task::spawn_blocking(move || work(&log, &state)).await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unavailable(error.into())),
            Err(error) => Err(Refusal::Unavailable(format!("the store's thread ended: {error}"))),
        }
    }

    /// The pod a component runs in, waited for a moment: it may be newer than our view.
    pub(crate) async fn pod(&self, find: impl Fn(&World) -> Option<Arc<Pod>>) -> Option<Arc<Pod>> {
        let mut world = self.world.clone();
        let wait = world.wait_for(|world| find(world).is_some());
        let found = tokio::time::timeout(std::time::Duration::from_secs(3), wait).await;
        found.ok()?.ok().and_then(|world| find(&world))
    }

    /// Whether a component's pod is still the one that enrolled.
    pub(crate) fn runs(&self, component: &Component) -> bool {
        let world = self.world();
        let Ok(name) = component.pod.parse() else { return false };
        let pod = world.snapshot.pod(&self.home, &name);
        pod.is_some_and(|pod| !pod.ended && pod.node.as_ref() == Some(&component.node))
    }
}

/// Our failure, for whoever asked.
pub(crate) fn unavailable(error: anyhow::Error) -> Refusal {
    Refusal::Unavailable(crate::exit::chain(&error))
}
