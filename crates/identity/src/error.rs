//! What can go wrong with an identity.

use outis_model::SpiffeId;
use outis_model::spiffe::SpiffeError;

/// Why an identity was not made, read or believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The library refused to make it.
    #[error("cannot make a {what}: {why}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A signing request that is none, or whose signature does not fit its key.
    #[error("the signing request is not valid: {0}")]
    Request(String),
    /// Not PEM.
    #[error("not PEM: {0}")]
    Pem(String),
    /// Not a certificate.
    #[error("not a certificate: {0}")]
    Certificate(String),
    /// No chain to a root of the bundle, or outside its time.
    #[error("the certificate is not vouched for by this trust bundle: {0}")]
    Untrusted(String),
    /// Not exactly one URI name.
    #[error("a workload certificate has exactly one URI name, this one has {0}")]
    Names(usize),
    /// The URI name is no SPIFFE ID.
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
    /// Another identity than expected.
    #[error("the peer is {found}, expected {expected}")]
    Peer {
        /// Who it is.
        found: SpiffeId,
        /// Who was expected.
        expected: String,
    },
    /// Sealed under another key, or changed.
    #[error("cannot unseal the authority: wrong key, or the sealed bytes were changed")]
    Unseal,
    /// An authority of another trust domain.
    #[error(
        "the sealed authority vouches for {found}, this installation is {expected}; give it its own, or set the trust domain back"
    )]
    OtherDomain {
        /// In its root.
        found: SpiffeId,
        /// Ours.
        expected: SpiffeId,
    },
    /// The intermediate is at its end.
    #[error("the intermediate ends at {0}, too soon to sign with; rotate it")]
    Ended(outis_model::Timestamp),
    /// Nothing was prepared.
    #[error("there is no next root to sign with; one has to be prepared first")]
    NoNext,
    /// A key that is none.
    #[error("not a private key: {0}")]
    Key(String),
    /// A lifetime we do not give.
    #[error("a lifetime of {0} s is not between 60 s and 86,400 s")]
    Lifetime(i64),
    /// Nothing to authenticate with yet.
    #[error("no certificate yet")]
    Absent,
}
