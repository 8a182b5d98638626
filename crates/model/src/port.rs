//! The questions one shell asks of another. `outis` joins the two ends; neither knows the other.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::{Future, Stream};
use jiff::Timestamp;

use crate::name::{ContainerId, NodeName};
use crate::secret::Secret;
use crate::snapshot::Pod;
use crate::spiffe::{SpiffeId, TrustDomain};

/// An answer that may take a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A sequence of full states; the newest replaces all before it.
pub type Updates<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Why a question was not answered. The text is for the asker: nothing foreign in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The asker has no right to it; asking again will not help.
    #[error("{0}")]
    Denied(String),
    /// Not now; ask again later.
    #[error("{0}")]
    Unavailable(String),
    /// The question itself is wrong.
    #[error("{0}")]
    Invalid(String),
}

/// A process at the other end of a Unix socket, as the kernel names it.
#[cfg(unix)]
#[derive(Debug)]
pub struct Peer {
    /// Process id from SO_PEERCRED, in our PID namespace; 0 when it is outside of it.
    pub pid: u32,
    /// A pidfd from SO_PEERPIDFD (or opened for `pid` where the kernel is older): as long as it is
    /// open and alive, `pid` still means that process.
    pub pidfd: Option<std::os::fd::OwnedFd>,
}

/// Who is asking, proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The container, when it could be told.
    pub container: Option<ContainerId>,
}

/// Tells which pod a process belongs to (answered by `node`).
#[cfg(unix)]
pub trait Attest: Send + Sync {
    /// The pod of this peer. A process outside every pod of this node is `Denied`; a pod the
    /// snapshot does not hold in time is `Unavailable`.
    fn attest<'a>(&'a self, peer: &'a Peer) -> Answer<'a, Result<Caller, Refusal>>;
}

/// An X.509 SVID with its key.
#[derive(Debug, Clone)]
pub struct X509Svid {
    /// The identity.
    pub id: SpiffeId,
    /// Leaf first, then intermediates, DER each.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8, DER.
    pub key: Secret<Vec<u8>>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Root certificates of a trust domain, DER each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    /// Whose.
    pub trust_domain: TrustDomain,
    /// The roots.
    pub roots: Vec<Vec<u8>>,
    /// Rises with each change.
    pub sequence: u64,
}

/// Everything a workload is entitled to, at one instant.
#[derive(Debug, Clone)]
pub struct Entitlement {
    /// First is the default identity.
    pub svids: Vec<X509Svid>,
    /// The caller's own trust domain's bundle.
    pub bundle: TrustBundle,
}

/// Gives identities to attested callers (answered by the agent's wiring).
pub trait Identities: Send + Sync {
    /// The caller's identities now and whenever they change, until the caller goes away.
    fn identities(&self, caller: &Caller) -> Updates<Result<Entitlement, Refusal>>;
    /// The trust bundle now and whenever it changes.
    fn bundles(&self, caller: &Caller) -> Updates<Result<TrustBundle, Refusal>>;
}

/// A request for a certificate, made by an agent for a pod of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// For which pod.
    pub pod_uid: crate::name::PodUid,
    /// PKCS#10, DER; the controller takes only its public key.
    pub csr: Vec<u8>,
}

/// A signed chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedChain {
    /// The identity the controller gave, whatever was asked.
    pub id: SpiffeId,
    /// Leaf first, DER each.
    pub chain: Vec<Vec<u8>>,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Signs for nodes (answered by the controller's wiring).
pub trait Sign: Send + Sync {
    /// Signs for a pod that the snapshot places on `node`; the issuance is on disk before the answer.
    fn sign<'a>(
        &'a self,
        node: &'a NodeName,
        request: SigningRequest,
    ) -> Answer<'a, Result<SignedChain, Refusal>>;
}
