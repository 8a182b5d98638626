//! TLS between our own parts: chains against the trust bundle, identities against what is expected,
//! everything replaceable while connections run.

use std::sync::{Arc, PoisonError, RwLock};

use outis_model::{SpiffeId, Timestamp};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::error::IdentityError;

/// A certificate with its key that may be replaced at any time.
#[derive(Debug, Clone, Default)]
pub struct Credential(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

/// Roots that may be replaced at any time.
#[derive(Debug, Clone, Default)]
pub struct Trust(Arc<RwLock<Arc<Vec<TrustAnchor<'static>>>>>);

/// Which peers are expected.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Exactly one of these.
    Ids(Vec<SpiffeId>),
    /// Whoever the bundle vouches for; the caller looks at the identity afterwards.
    Anyone,
}

impl Credential {
    /// Takes a chain (leaf first, DER each) and its key (PKCS#8, DER) for the next handshakes.
    ///
    /// # Errors
    /// The key is none, or does not fit the leaf.
    pub fn set(&self, chain: &[Vec<u8>], pkcs8: &[u8]) -> Result<(), IdentityError> {
        let chain = chain.iter().cloned().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(pkcs8.to_vec().into());
        let pair = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pair));
        Ok(())
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.get().is_some()
    }

    fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Trust {
    /// Takes roots (DER each) for the next handshakes.
    ///
    /// # Errors
    /// One of them is no certificate; then nothing changes.
    pub fn set(&self, roots: &[Vec<u8>]) -> Result<(), IdentityError> {
        let anchors = anchors(roots)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(anchors);
        Ok(())
    }

    fn get(&self) -> Arc<Vec<TrustAnchor<'static>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server's configuration, TLS 1.3 alone. Clients may come without a certificate (to enrol); `peer_id`
/// tells who came: **anyone** the bundle vouches for, workloads too, so the caller has to look.
///
/// # Errors
/// The TLS library refuses the protocol versions.
pub fn server(credential: &Credential, trust: &Trust) -> Result<Arc<ServerConfig>, Error> {
    let verifier =
        Arc::new(Verifier { trust: trust.clone(), expected: Expected::Anyone, algorithms: algorithms() });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Resolver(credential.clone())));
    // A resumed session is not verified again: whoever came once would be believed after its certificate
    // ended or its root was withdrawn. So there is none, whatever the client would like.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A server's configuration for callers that bring no certificate: the API server, a browser.
///
/// # Errors
/// The TLS library refuses the protocol versions.
pub fn plain_server(credential: &Credential) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(credential.clone())));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client's configuration, TLS 1.3 alone. Without a credential set, no certificate is shown.
///
/// # Errors
/// The TLS library refuses the protocol versions.
pub fn client(
    credential: &Credential,
    trust: &Trust,
    expected: Expected,
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Arc::new(Verifier { trust: trust.clone(), expected, algorithms: algorithms() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(Resolver(credential.clone())));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the look at bundle and identity.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The identity in a verified peer's leaf.
///
/// # Errors
/// No certificate, not exactly one URI name, or no SPIFFE ID.
pub fn peer_id(chain: &[CertificateDer<'_>]) -> Result<SpiffeId, IdentityError> {
    id_of(chain.first().ok_or(IdentityError::Absent)?)
}

pub(crate) fn verify_chain(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    now: Timestamp,
) -> Result<SpiffeId, IdentityError> {
    let anchors = anchors(roots)?;
    let chain: Vec<CertificateDer<'_>> =
        chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, between) = chain.split_first().ok_or(IdentityError::Absent)?;
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    check(leaf, between, &anchors, time, KeyUsage::client_auth(), algorithms())?;
    id_of(leaf)
}

/// Start and end of a certificate's validity.
pub(crate) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), IdentityError> {
    let bad = |why: String| IdentityError::Certificate(why);
    let (_, cert) = x509_parser::parse_x509_certificate(der).map_err(|error| bad(error.to_string()))?;
    let at = |second| {
        Timestamp::from_second(second).map_err(|error| IdentityError::Certificate(error.to_string()))
    };
    Ok((at(cert.validity().not_before.timestamp())?, at(cert.validity().not_after.timestamp())?))
}

fn anchors(roots: &[Vec<u8>]) -> Result<Vec<TrustAnchor<'static>>, IdentityError> {
    let anchor = |der: &Vec<u8>| {
        let der = CertificateDer::from(der.as_slice());
        anchor_from_trusted_cert(&der)
            .map(|anchor| anchor.to_owned())
            .map_err(|error| IdentityError::Certificate(error.to_string()))
    };
    roots.iter().map(anchor).collect()
}

fn check(
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    time: UnixTime,
    usage: KeyUsage,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<(), IdentityError> {
    let leaf =
        EndEntityCert::try_from(leaf).map_err(|error| IdentityError::Certificate(error.to_string()))?;
    let path = leaf.verify_for_usage(algorithms.all, anchors, between, time, usage, None, None);
    path.map(|_| ()).map_err(|error| IdentityError::Untrusted(error.to_string()))
}

pub(crate) fn id_of(leaf: &[u8]) -> Result<SpiffeId, IdentityError> {
    let (_, cert) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| IdentityError::Certificate(error.to_string()))?;
    let names =
        cert.subject_alternative_name().map_err(|error| IdentityError::Certificate(error.to_string()))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => Ok(uri.parse()?),
        other => Err(IdentityError::Names(other.len())),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// rustls prints such causes with `Debug`; people should read the sentence.
#[derive(thiserror::Error)]
#[error(transparent)]
struct Said(IdentityError);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

#[derive(Debug)]
struct Resolver(Credential);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.get()
    }
    fn has_certs(&self) -> bool {
        self.0.is_set()
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        time: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let judged = check(leaf, between, &self.trust.get(), time, usage, self.algorithms)
            .and_then(|()| id_of(leaf))
            .and_then(|id| match &self.expected {
                Expected::Ids(ids) if !ids.contains(&id) => {
                    let expected = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                    Err(IdentityError::Peer { found: id, expected })
                }
                _ => Ok(()),
            });
        judged.map_err(|error| {
            Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(Said(error)))))
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, between, now, KeyUsage::server_auth()).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, between, now, KeyUsage::client_auth()).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
