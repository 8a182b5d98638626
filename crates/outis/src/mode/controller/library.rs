//! What people ask: records, the log, the state of it all; and who it is that asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use outis_cluster::review::{Access, Stamped, may, stamped};
use outis_model::Timestamp;
use outis_model::alert::Priority;
use outis_model::input::Role;
use outis_model::name::Namespace;
use outis_model::port::{Answer, Refusal, Updates};
use outis_model::record::{Logged, RecordId, Subject};
use outis_model::review::User;
use outis_model::{Input, RecordKind};
use outis_server::query::proof::{FRESH, SIGNER, Signed};
use outis_server::query::{self, Authenticate, Filter, Library, PAGE, Rotate, Rotating};
use outis_store::Query;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::house::{House, unavailable};
use super::rotation::{Ask, Wanted};
use crate::mode::record;
use crate::status::{ComponentState, NodeState, RotationState, Status, StoreState};

/// How long a stamped request proves, in seconds.
const LIFE: i64 = 3600;
/// Stamps remembered at most.
const STAMPS: usize = 1024;

/// Reads for people.
pub(crate) struct Shelves(pub(crate) Arc<House>);

impl Library for Shelves {
    fn record(&self, id: RecordId) -> Answer<'_, Result<Option<Logged>, Refusal>> {
        Box::pin(self.0.on_disk(move |log, _| log.get(id)))
    }

    fn range(&self, filter: Filter) -> Answer<'_, Result<Vec<Logged>, Refusal>> {
        let limit = filter.limit.unwrap_or(PAGE).min(PAGE);
        let query = Query { from: filter.from, since: filter.since, limit };
        Box::pin(self.0.on_disk(move |log, _| log.range(&query, |logged| filter.takes(logged))))
    }

    fn tail(&self) -> Updates<Result<Logged, u64>> {
        let missed = |BroadcastStreamRecvError::Lagged(count)| count;
        Box::pin(BroadcastStream::new(self.0.log.tail()).map(move |item| item.map_err(missed)))
    }

    fn export(&self, from: u64) -> Answer<'_, Result<Vec<Value>, Refusal>> {
        Box::pin(self.0.on_disk(move |log, _| log.export(from, PAGE)))
    }

    fn status(&self) -> Answer<'_, Value> {
        Box::pin(async { serde_json::to_value(status(&self.0)).unwrap_or_default() })
    }

    fn may_read(&self, user: User, namespace: Option<Namespace>) -> Answer<'_, Result<bool, Refusal>> {
        Box::pin(async move {
            let access = Access {
                namespace: namespace.as_ref(),
                verb: "get",
                group: "",
                resource: "pods/log",
                name: "",
            };
            may(&self.0.client, &user, &access).await.map_err(|error| unavailable(error.into()))
        })
    }
}

/// Why a node has no agent.
fn absent(architecture: &str, since: Option<Timestamp>) -> String {
    let mut note = match since {
        Some(since) => format!("no agent is linked since {since}"),
        None => "no agent is linked yet".to_owned(),
    };
    let ours = outis_cluster::manifests::architecture();
    if !architecture.is_empty() && architecture != ours {
        note += &format!("; it is an {architecture} node, and this version's agent is built for {ours}");
    }
    note
}

/// Takes what people want changed.
pub(crate) struct Orders(pub(crate) Arc<House>);

impl query::Orders for Orders {
    fn may_rotate(&self, user: User) -> Answer<'_, Result<bool, Refusal>> {
        Box::pin(async move {
            let access = Access {
                namespace: None,
                verb: "rotate",
                group: "outis.dev",
                resource: "outises",
                name: outis_api::outis::NAME,
            };
            let may = may(&self.0.client, &user, &access).await.map_err(|error| unavailable(error.into()))?;
            if !may {
                let mut refused =
                    record(Timestamp::now(), RecordKind::Refusal, &user.username, Subject::default());
                refused.summary = "asked for a new root or intermediate, without the right to".into();
                refused.priority = Priority::Warning;
                self.0.tell(Input::Happened(refused));
            }
            Ok(may)
        })
    }

    fn rotate(&self, user: User, what: Rotate) -> Answer<'_, Result<Rotating, Refusal>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let what = if what.root { Wanted::Root } else { Wanted::Intermediate };
            let busy = || Refusal::Unavailable("too many ask for a rotation at once".into());
            self.0.asks.try_send(Ask { by: user.username, what, answer }).map_err(|_| busy())?;
            let ended = || Refusal::Unavailable("the controller is going away".into());
            Ok(Rotating { text: answered.await.map_err(|_| ended())?? })
        })
    }
}

/// Everything as it is now.
pub(crate) fn status(house: &House) -> Status {
    let world = house.world();
    let head = house.log.head();
    let held =
        |counts: &Mutex<BTreeMap<String, u64>>| counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let components = world.components.iter().map(|(one, state)| ComponentState {
        role: one.role.to_string(),
        pod: one.pod.clone(),
        node: one.node.to_string(),
        version: state.version.clone(),
        up: state.up,
        since: state.since,
        protections: state.health.protections.clone(),
        facts: state.health.facts.clone(),
        counters: state.health.counters.clone(),
    });
    let nodes = world.snapshot.nodes().map(|node| {
        let agent = world
            .components
            .iter()
            .find(|(one, state)| one.role == Role::Agent && one.node == node.name && state.up);
        let note = match agent {
            Some((one, state)) => format!("{} since {}", one.pod, state.since),
            None => absent(&node.architecture, world.uncovered.get(&node.name).map(|(since, _)| *since)),
        };
        NodeState { name: node.name.to_string(), covered: agent.is_some(), note }
    });
    let protections = house.protections.lock().unwrap_or_else(PoisonError::into_inner);
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        trust_domain: house.domain.to_string(),
        identity: Some(identity(house)),
        since: Some(house.since),
        components: components.collect(),
        nodes: nodes.collect(),
        network: world.network.nodes(),
        store: StoreState {
            records: head.count,
            head: head.head.to_string(),
            damage: house.log.damage().map(str::to_owned),
        },
        protections: protections.values().cloned().collect(),
        stale: world.stale.iter().map(|(kind, since)| format!("{kind:?} since {since}")).collect(),
        unjudged: house.unjudged.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        refused: held(&house.refused),
        counters: held(&house.dropped),
    }
}

fn identity(house: &House) -> RotationState {
    let authority = house.authority.load_full();
    let rotation = authority.rotation().clone();
    RotationState {
        phase: rotation.phase,
        bundle: rotation.version,
        roots: authority.roots().len(),
        root: authority.root(),
        root_ends: authority.root_ends(),
        asked_by: rotation.by,
        since: rotation.since,
        waiting: house.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }
}

/// Tells who asks, by the API server's stamp.
pub(crate) struct Stamps {
    pub(crate) house: Arc<House>,
    known: Mutex<BTreeMap<String, Stamped>>,
}

impl Stamps {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Self { house, known: Mutex::default() }
    }

    async fn stamp(&self, name: &str, now: Timestamp) -> Result<Stamped, Refusal> {
        let in_time = |stamp: &Stamped| now.as_second() - stamp.made < LIFE;
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, stamp| in_time(stamp));
            if let Some(stamp) = known.get(name) {
                return Ok(stamp.clone());
            }
        }
        let found =
            stamped(&self.house.client, name, SIGNER).await.map_err(|error| unavailable(error.into()))?;
        let denied =
            || Refusal::Denied(format!("no request {name} of signer {SIGNER} that is younger than an hour"));
        let stamp = found.filter(in_time).ok_or_else(denied)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < STAMPS {
            known.insert(name.to_owned(), stamp.clone());
        }
        Ok(stamp)
    }
}

impl Authenticate for Stamps {
    fn user(&self, signed: Signed) -> Answer<'_, Result<User, Refusal>> {
        Box::pin(async move {
            let now = Timestamp::now();
            if (now.as_millisecond() - signed.at).abs() > FRESH {
                let text = "the signature's time is more than two minutes from ours; set your clock";
                return Err(Refusal::Denied(text.into()));
            }
            let stamp = self.stamp(&signed.csr, now).await?;
            let invalid = |what: &str| Refusal::Denied(format!("{what} cannot be read"));
            let signature = STANDARD.decode(&signed.signature).map_err(|_| invalid("the signature"))?;
            let request =
                outis_identity::request_from_pem(&stamp.request).map_err(|_| invalid("the request"))?;
            match outis_identity::proof::verify(&request, signed.message.as_bytes(), &signature) {
                Ok(true) => Ok(stamp.user),
                _ => Err(Refusal::Denied("the signature is not of the request's key".into())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use outis_cluster::manifests::architecture;

    use super::absent;

    #[test]
    fn a_node_the_agent_is_not_built_for_is_told_so() {
        assert_eq!(absent(architecture(), None), "no agent is linked yet");
        assert_eq!(absent("", None), "no agent is linked yet", "not told by its kubelet");
        let told = absent("riscv64", None);
        let ours = format!("it is an riscv64 node, and this version's agent is built for {}", architecture());
        assert!(told.ends_with(&ours), "{told}");
    }
}
