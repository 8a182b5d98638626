//! A controller with doubles behind its doors, and the components that talk to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use outis_model::alert::Priority;
use outis_model::effect::Resource;
use outis_model::input::{Component, Health, Report, Role};
use outis_model::name::NodeName;
use outis_model::port::{Answer, Refusal, Sign, SignedChain, SigningRequest, TrustBundle};
use outis_model::record::{Record, RecordId, RecordKind, Subject};
use outis_model::secret::Secret;
use outis_model::spiffe::SpiffeId;
use outis_wire::{
    Acknowledgement, Backoff, Controller, Doors, Enrolment, Intake, Limits, LinkState, MemorySpool, Numbered,
    Outbox, Receive, Refused, Registry, Sender, Sink, SpoolLimits, Uplink, UplinkParts, Why, serve,
};
use rustls::ClientConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::keys::{Keys, identify};

/// The one place a test waits by the clock.
pub(crate) async fn eventually(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn agent() -> Component {
    Component { role: Role::Agent, pod: "outis-agent-1".into(), node: "n1".parse().expect("node") }
}

pub(crate) fn report(n: u64) -> Report {
    Report::Record(Record {
        id: RecordId::new(Timestamp::UNIX_EPOCH, u128::from(n)),
        time: Timestamp::UNIX_EPOCH,
        kind: RecordKind::Alert,
        actor: "outis:agent:n1".into(),
        subject: Subject::default(),
        summary: format!("alert {n}"),
        verdict: None,
        mode: None,
        priority: Priority::Warning,
        because: vec![],
        fields: Default::default(),
    })
}

pub(crate) fn outbox(id: &str, entries: usize) -> (Outbox, Arc<MemorySpool>) {
    let spool = Arc::new(MemorySpool::new(id.into(), SpoolLimits { entries, bytes: usize::MAX }));
    (Outbox::new(spool.clone()), spool)
}

pub(crate) fn controller_at(address: SocketAddr, tls: Arc<ClientConfig>) -> Controller {
    Controller { address: address.to_string(), name: "localhost".try_into().expect("name"), tls }
}

pub(crate) fn uplink(
    keys: &Keys,
    address: SocketAddr,
    component: Component,
    outbox: Outbox,
) -> JoinHandle<()> {
    uplink_with(controller_at(address, keys.client(&component)), component, outbox)
}

pub(crate) fn uplink_with(controller: Controller, component: Component, outbox: Outbox) -> JoinHandle<()> {
    let uplink = made(controller, component, outbox);
    tokio::spawn(uplink.run(std::future::pending()))
}

pub(crate) fn watched(
    keys: &Keys,
    address: SocketAddr,
    component: Component,
    outbox: Outbox,
) -> (JoinHandle<()>, watch::Receiver<LinkState>) {
    let uplink = made(controller_at(address, keys.client(&component)), component, outbox);
    let state = uplink.state();
    (tokio::spawn(uplink.run(std::future::pending())), state)
}

fn made(controller: Controller, component: Component, outbox: Outbox) -> Uplink {
    Uplink::new(UplinkParts {
        controller,
        component,
        version: "0.1.0".into(),
        outbox,
        receive: Arc::new(Taker),
        // A closed channel keeps its last value.
        health: watch::channel(Health { version: "0.1.0".into(), ..Health::default() }).1,
        heartbeat: Duration::from_secs(1),
        backoff: Backoff::new(Duration::from_millis(10), Duration::from_millis(200), 1),
    })
}

/// Hello, then bytes as the body of a report, past every check of our own sender.
pub(crate) async fn send_raw(keys: &Keys, address: SocketAddr, body: Vec<u8>) {
    struct Raw(Vec<u8>);
    impl outis_wire::Spool for Raw {
        fn id(&self) -> String {
            // The id is the largest field a sender chooses before it is welcomed.
            String::from_utf8_lossy(&self.0).into_owned()
        }
        fn push(
            &self,
            _: Vec<(outis_wire::Class, Vec<u8>)>,
        ) -> Result<std::ops::Range<u64>, outis_wire::SpoolError> {
            Ok(0..0)
        }
        fn peek(&self, _: u64, _: usize, _: usize) -> Result<Vec<outis_wire::Entry>, outis_wire::SpoolError> {
            Ok(vec![])
        }
        fn ack(&self, _: u64) -> Result<(), outis_wire::SpoolError> {
            Ok(())
        }
        fn next(&self) -> u64 {
            0
        }
    }
    let uplink = uplink(keys, address, agent(), Outbox::new(Arc::new(Raw(body))));
    tokio::time::timeout(Duration::from_millis(500), uplink).await.expect_err("an uplink does not end");
}

struct Taker;

impl Receive for Taker {
    fn receive(&self, resource: Resource) -> Answer<'_, Result<(), String>> {
        let answer = if resource.body.is_empty() { Err("an empty body".to_owned()) } else { Ok(()) };
        Box::pin(std::future::ready(answer))
    }
}

/// The controller's memory: survives its restarts, as a disk does.
#[derive(Default)]
struct Disk {
    stored: Mutex<Vec<Numbered>>,
    last: Mutex<HashMap<String, u64>>,
    acks: Mutex<Vec<Acknowledgement>>,
    health: Mutex<Option<Health>>,
    refused: Mutex<Vec<Refused>>,
    broken: AtomicBool,
}

pub(crate) struct House {
    disk: Arc<Disk>,
    tls: Arc<rustls::ServerConfig>,
    resources: watch::Sender<Arc<[Resource]>>,
    address: SocketAddr,
    runs: Option<JoinHandle<std::io::Result<()>>>,
}

impl House {
    pub(crate) async fn open(keys: &Keys) -> Self {
        let mut house = Self::closed(keys).await;
        house.restart().await;
        house
    }

    /// An address nobody listens at, until `restart`.
    pub(crate) async fn closed(keys: &Keys) -> Self {
        let reserved = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = reserved.local_addr().expect("bound");
        drop(reserved);
        let resources = watch::channel(Arc::from(Vec::new())).0;
        Self { disk: Arc::default(), tls: keys.server(), resources, address, runs: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills what runs, without a farewell, and begins anew at the same address.
    pub(crate) async fn restart(&mut self) {
        if let Some(runs) = self.runs.take() {
            runs.abort();
            runs.await.expect_err("aborted");
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let listener = loop {
            // The listener of the run before is dropped by a task of its own.
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        listener.set_nonblocking(true).expect("option");
        let listener = TcpListener::from_std(listener).expect("listener");
        let resources = self.resources.clone();
        let doors = Doors {
            registry: self.disk.clone(),
            intake: self.disk.clone(),
            sign: self.disk.clone(),
            sink: self.disk.clone(),
            identify: identify(),
            resources: Arc::new(move |_| resources.subscribe()),
        };
        let (tls, limits) = (self.tls.clone(), Limits::default());
        self.runs = Some(tokio::spawn(serve(listener, tls, limits, doors, std::future::pending())));
    }

    pub(crate) fn push(&self, resources: Vec<Resource>) {
        self.resources.send_replace(resources.into());
    }

    pub(crate) fn stored(&self) -> Vec<Numbered> {
        self.disk.stored.lock().expect("lock").clone()
    }

    pub(crate) fn acks(&self) -> Vec<Acknowledgement> {
        self.disk.acks.lock().expect("lock").clone()
    }

    pub(crate) fn health(&self) -> Option<Health> {
        self.disk.health.lock().expect("lock").clone()
    }

    pub(crate) fn refused(&self, why: Why) -> Option<Refused> {
        self.disk.refused.lock().expect("lock").iter().find(|refused| refused.why == why).cloned()
    }

    pub(crate) fn break_store(&self, broken: bool) {
        self.disk.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn forget(&self) {
        self.disk.stored.lock().expect("lock").clear();
        self.disk.last.lock().expect("lock").clear();
    }
}

impl Registry for Disk {
    fn enrol(&self, token: Secret<String>, csr: Vec<u8>) -> Answer<'_, Result<Enrolment, Refusal>> {
        let good = token.reveal() == "good";
        Box::pin(async move {
            if !good {
                return Err(Refusal::Denied("this token was used before".into()));
            }
            let bundle = TrustBundle {
                trust_domain: "a.example".parse().expect("domain"),
                roots: vec![vec![7]],
                sequence: 3,
            };
            Ok(Enrolment { signed: signed(csr), bundle })
        })
    }

    fn renew<'a>(
        &'a self,
        component: &'a Component,
        csr: Vec<u8>,
    ) -> Answer<'a, Result<SignedChain, Refusal>> {
        Box::pin(async move {
            let id = format!("spiffe://a.example/outis/agent/{}/{}", component.node, component.pod);
            Ok(SignedChain { id: id.parse().expect("id"), ..signed(csr) })
        })
    }

    fn component_of<'a>(&'a self, id: &'a SpiffeId) -> Answer<'a, Result<Component, Refusal>> {
        Box::pin(async move {
            let parts: Vec<&str> = id.path().split('/').collect();
            match parts[..] {
                ["", "outis", "agent", node, pod] => {
                    Ok(Component { role: Role::Agent, pod: pod.into(), node: node.parse().expect("node") })
                }
                _ => Err(Refusal::Denied(format!("{id} is not enrolled"))),
            }
        })
    }
}

fn signed(csr: Vec<u8>) -> SignedChain {
    SignedChain {
        id: "spiffe://a.example/ns/shop/sa/web".parse().expect("id"),
        chain: vec![csr],
        not_after: Timestamp::from_second(2_000_000_000).expect("time"),
    }
}

impl Sign for Disk {
    fn sign<'a>(
        &'a self,
        node: &'a NodeName,
        request: SigningRequest,
    ) -> Answer<'a, Result<SignedChain, Refusal>> {
        Box::pin(async move {
            if request.pod_uid.to_string() == "here" {
                return Ok(signed(request.csr));
            }
            Err(Refusal::Denied(format!("pod {} is not on node {node}", request.pod_uid)))
        })
    }
}

impl Intake for Disk {
    fn last<'a>(&'a self, from: &'a Sender) -> Answer<'a, Result<Option<u64>, Refusal>> {
        Box::pin(async move { Ok(self.last.lock().expect("lock").get(&from.key()).copied()) })
    }

    fn store<'a>(&'a self, from: &'a Sender, reports: Vec<Numbered>) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            // Long enough for a kill to fall into it.
            tokio::task::yield_now().await;
            if self.broken.load(Ordering::SeqCst) {
                return Err(Refusal::Unavailable("the disk is full".into()));
            }
            let last = reports.last().expect("never empty").last;
            self.stored.lock().expect("lock").extend(reports);
            self.last.lock().expect("lock").insert(from.key(), last);
            Ok(())
        })
    }

    fn health(&self, _: &Component, health: Health) {
        *self.health.lock().expect("lock") = Some(health);
    }

    fn acknowledged(&self, _: &Component, acknowledgement: Acknowledgement) {
        self.acks.lock().expect("lock").push(acknowledgement);
    }

    fn connected(&self, _: &Component, _: &str, _: bool) {}
}

impl Sink for Disk {
    fn refused(&self, refused: Refused) {
        self.refused.lock().expect("lock").push(refused);
    }
}
