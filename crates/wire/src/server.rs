//! The controller's end: what it asks of the controller's wiring, and the loop that serves.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outis_model::effect::Resource;
use outis_model::input::{Component, Health, Role};
use outis_model::port::{Answer, Refusal, Sign, SignedChain};
use outis_model::secret::Secret;
use outis_model::spiffe::SpiffeId;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::message::{Acknowledgement, Enrolment, Numbered};
use crate::proto::{enrol_server::EnrolServer, link_server::LinkServer};
use crate::{ENVELOPE, MAX_CSR, MAX_REPORT};

mod accept;
mod link;
mod service;
mod session;

/// Answers who a component is and gives new ones their certificate.
pub trait Registry: Send + Sync {
    /// Checks the token (audience, pod, that the pod is ours) and signs.
    fn enrol(&self, token: Secret<String>, csr: Vec<u8>) -> Answer<'_, Result<Enrolment, Refusal>>;
    /// Signs anew for a component that showed its certificate. A token is good once: who is enrolled has no other
    /// way to a new certificate until the node gives it another token.
    fn renew<'a>(
        &'a self,
        component: &'a Component,
        csr: Vec<u8>,
    ) -> Answer<'a, Result<SignedChain, Refusal>>;
    /// The component this ID belongs to, its node taken from the cluster and never from the component.
    fn component_of<'a>(&'a self, id: &'a SpiffeId) -> Answer<'a, Result<Component, Refusal>>;
}

/// A component and the spool it sends from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// As it proved itself.
    pub component: Component,
    /// Drawn when the spool was made.
    pub spool: String,
}

impl Sender {
    /// Under which key the last stored number is kept: an agent's spool belongs to its node and outlives its
    /// pods, a webhook's to its pod.
    #[must_use]
    pub fn key(&self) -> String {
        match self.component.role {
            Role::Agent => format!("agent/{}/{}", self.component.node, self.spool),
            role => format!("{role}/{}/{}", self.component.pod, self.spool),
        }
    }
}

/// Takes what components say.
pub trait Intake: Send + Sync {
    /// The last number of this sender that is on disk.
    fn last<'a>(&'a self, from: &'a Sender) -> Answer<'a, Result<Option<u64>, Refusal>>;
    /// Stores reports: contiguous, in order, never a number twice. On return all of them and the last number
    /// are on disk, together; on an error none is.
    fn store<'a>(&'a self, from: &'a Sender, reports: Vec<Numbered>) -> Answer<'a, Result<(), Refusal>>;
    /// How a component is, unnumbered; must not wait.
    fn health(&self, from: &Component, health: Health);
    /// What a component made of a resource; must not wait.
    fn acknowledged(&self, from: &Component, acknowledgement: Acknowledgement);
    /// A component's stream began or ended; must not wait.
    fn connected(&self, from: &Component, version: &str, up: bool);
}

/// Why something was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The TLS handshake failed or took too long.
    Handshake,
    /// Its certificate is not of our CA, or has expired.
    ForeignCertificate,
    /// It has no certificate, and asked for more than enrolment.
    NoCertificate,
    /// Its certificate names nobody who is enrolled.
    NotEnrolled,
    /// Too many connections, or too many of one kind of question at once.
    TooMany,
    /// Its token was not accepted.
    Enrolment,
    /// Its certificate request was not granted.
    Signing,
    /// It says it is another than its certificate proves.
    Impostor,
    /// A message was larger than it may be.
    Oversize,
    /// A message could not be read, or came out of turn.
    Malformed,
    /// Numbers are missing and were not declared lost.
    Gap,
    /// Its spool is older than what it already sent.
    Stale,
    /// A newer connection of the same sender took its place.
    Superseded,
    /// Our store did not take its reports.
    Store,
    /// It was silent where it had to speak.
    Silent,
}

impl Why {
    /// A stable word, for metrics and for the peer.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::ForeignCertificate => "foreign-certificate",
            Self::NoCertificate => "no-certificate",
            Self::NotEnrolled => "not-enrolled",
            Self::TooMany => "too-many",
            Self::Enrolment => "enrolment",
            Self::Signing => "signing",
            Self::Impostor => "impostor",
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
            Self::Gap => "gap",
            Self::Stale => "stale",
            Self::Superseded => "superseded",
            Self::Store => "store",
            Self::Silent => "silent",
        }
    }
}

/// Something that was turned away at this door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// From where.
    pub address: SocketAddr,
    /// From whom, as far as proved.
    pub id: Option<SpiffeId>,
    /// Why, as a word.
    pub why: Why,
    /// Why, as a sentence.
    pub text: String,
}

/// Is told of everything that was turned away; must not wait.
pub trait Sink: Send + Sync {
    /// One refusal. Handshakes can fail as often as strangers try: count them, do not keep each.
    fn refused(&self, refused: Refused);
}

/// Reads the SPIFFE ID out of a verified chain, leaf first.
pub type Identify = Arc<dyn Fn(&[CertificateDer<'_>]) -> Result<SpiffeId, String> + Send + Sync>;
/// What a component is to hold; the newest list replaces all before it.
pub type Resources = Arc<dyn Fn(&Component) -> watch::Receiver<Arc<[Resource]>> + Send + Sync>;

/// Whom the door asks.
#[derive(Clone)]
pub struct Doors {
    /// Who is who.
    pub registry: Arc<dyn Registry>,
    /// Takes reports.
    pub intake: Arc<dyn Intake>,
    /// Signs for nodes.
    pub sign: Arc<dyn Sign>,
    /// Told of refusals.
    pub sink: Arc<dyn Sink>,
    /// Reads certificates.
    pub identify: Identify,
    /// What to push.
    pub resources: Resources,
}

/// Bounds of the door.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections with a certificate.
    pub components: usize,
    /// Connections without one, handshakes included.
    pub strangers: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a connection without a certificate may last.
    pub stranger_life: Duration,
    /// How long one stream may last: a certificate is looked at again at least so often.
    pub stream_life: Duration,
    /// How long the store may take for one batch.
    pub store: Duration,
    /// Reports stored at once.
    pub batch: usize,
    /// Signings, and likewise enrolments, at once.
    pub questions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            components: 1024,
            strangers: 64,
            handshake: Duration::from_secs(5),
            stranger_life: Duration::from_secs(30),
            stream_life: Duration::from_secs(3600),
            store: Duration::from_secs(30),
            batch: 256,
            questions: 64,
        }
    }
}

/// Serves until `shutdown`; then every stream is told to come back, and the call returns.
///
/// `tls` may ask for client certificates but must not demand them, or nobody can enrol; it must refuse chains
/// of other CAs.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    doors: Doors,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    // Dropped when this future ends or is dropped: every session ends with it.
    let (alive, life) = watch::channel(());
    let connections = accept::connections(listener, tls, &limits, &doors, life.clone());
    let link = link::Link::new(doors.clone(), limits.clone(), life);
    let enrol = service::Enrolling::new(doors, &limits);
    let size = MAX_REPORT + ENVELOPE;
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(16 << 10)
        .max_concurrent_streams(64)
        .add_service(LinkServer::new(link).max_decoding_message_size(size))
        .add_service(EnrolServer::new(enrol).max_decoding_message_size(2 * MAX_CSR + ENVELOPE))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), async move {
            shutdown.await;
            drop(alive);
        })
        .await
        .map_err(io::Error::other)
}
