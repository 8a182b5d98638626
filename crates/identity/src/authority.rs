//! The certificate authority: root, intermediate, leaves (X509-SVID.md sections 2 to 5).

use outis_model::port::SignedChain;
use outis_model::{SpiffeId, Timestamp, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::error::IdentityError;
use crate::keys::Key;
use crate::seal::{Keys, SealKey, Sealed, open, seal};

const DAY: i64 = 86_400;
const ROOT_LIFE: i64 = 3650 * DAY;
const INTERMEDIATE_LIFE: i64 = 90 * DAY;
/// The shortest lifetime of a leaf.
const SHORTEST: i64 = 60;
/// How far a certificate's validity reaches back, for clocks that are behind.
const BACKDATE: i64 = 10;

/// Root and intermediate with their keys.
pub struct Authority {
    domain: TrustDomain,
    root: Vec<u8>,
    intermediate: Vec<u8>,
    retired: Vec<Vec<u8>>,
    root_key: Key,
    issuer: Issuer<'static, KeyPair>,
    intermediate_ends: Timestamp,
}

/// What a leaf should say.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Its identity.
    pub id: SpiffeId,
    /// DNS names beside it; none for workloads.
    pub dns: Vec<String>,
    /// Lifetime in seconds, 60 to 86,400.
    pub lifetime: i64,
}

impl Authority {
    /// A new root and its first intermediate.
    ///
    /// # Errors
    /// The library or the random source refused.
    pub fn create(domain: &TrustDomain, now: Timestamp) -> Result<Self, IdentityError> {
        let root_key = Key::generate()?;
        let params = ca_params(domain, "Outis root", 1, now, ROOT_LIFE)?;
        let root = params.self_signed(&root_key.0).map_err(|error| failed("root", &error))?;
        let root = root.der().to_vec();
        let (intermediate, key) = intermediate(domain, &root, &root_key, now)?;
        Self::join(domain.clone(), root, intermediate, vec![], root_key, key)
    }

    fn join(
        domain: TrustDomain,
        root: Vec<u8>,
        intermediate: Vec<u8>,
        retired: Vec<Vec<u8>>,
        root_key: Key,
        key: Key,
    ) -> Result<Self, IdentityError> {
        let der = CertificateDer::from(intermediate.clone());
        let intermediate_ends = crate::tls::validity(&intermediate)?.1;
        let issuer = Issuer::from_ca_cert_der(&der, key.0).map_err(|error| failed("issuer", &error))?;
        Ok(Self { domain, root, intermediate, retired, root_key, issuer, intermediate_ends })
    }

    /// The authority at rest.
    ///
    /// # Errors
    /// The random source refused.
    pub fn seal(&self, key: &SealKey) -> Result<Sealed, IdentityError> {
        let keys = Keys {
            root: self.root_key.pkcs8().into_inner(),
            intermediate: self.issuer.key().serialize_der(),
        };
        let certificates = Sealed {
            root: hex::encode(&self.root),
            intermediate: hex::encode(&self.intermediate),
            retired: self.retired.iter().map(hex::encode).collect(),
            keys: String::new(),
        };
        seal(key, &keys, certificates)
    }

    /// The authority from rest.
    ///
    /// # Errors
    /// Another key, changed bytes (certificates included), bytes that are none of ours, or an authority
    /// of another trust domain.
    pub fn open(domain: &TrustDomain, sealed: &Sealed, key: &SealKey) -> Result<Self, IdentityError> {
        let keys = open(key, sealed)?;
        let der =
            |text: &str| hex::decode(text).map_err(|error| IdentityError::Certificate(error.to_string()));
        let retired = sealed.retired.iter().map(|text| der(text)).collect::<Result<_, _>>()?;
        let found = crate::tls::id_of(&der(&sealed.root)?)?;
        if found != domain.id() {
            return Err(IdentityError::OtherDomain { found, expected: domain.id() });
        }
        let (root_key, issuing) = (Key::from_pkcs8(&keys.root)?, Key::from_pkcs8(&keys.intermediate)?);
        Self::join(domain.clone(), der(&sealed.root)?, der(&sealed.intermediate)?, retired, root_key, issuing)
    }

    /// The roots of the trust bundle, DER each.
    #[must_use]
    pub fn roots(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.root).chain(&self.retired).cloned().collect()
    }

    /// The intermediate, DER: with another one, leaves are signed by another key.
    #[must_use]
    pub fn intermediate(&self) -> &[u8] {
        &self.intermediate
    }

    /// Whether the intermediate is past two thirds of its life and should be replaced. Leaves of the
    /// old one stay valid: they carry it, and the root is the same.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> bool {
        now.as_second() > self.intermediate_ends.as_second() - INTERMEDIATE_LIFE / 3
    }

    /// The same root with a new intermediate.
    ///
    /// # Errors
    /// The library or the random source refused.
    pub fn rotated(&self, now: Timestamp) -> Result<Self, IdentityError> {
        let (intermediate, key) = intermediate(&self.domain, &self.root, &self.root_key, now)?;
        let root_key = Key::from_pkcs8(self.root_key.pkcs8().reveal())?;
        Self::join(self.domain.clone(), self.root.clone(), intermediate, self.retired.clone(), root_key, key)
    }

    /// Signs the public key of a request; nothing else of the request counts.
    ///
    /// # Errors
    /// The request is not one, the lifetime is not ours to give, the ID is of another trust domain, or
    /// the intermediate ends before the shortest lifetime does.
    pub fn sign(&self, request: &[u8], leaf: &Leaf, now: Timestamp) -> Result<SignedChain, IdentityError> {
        let der = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&der)
            .map_err(|error| IdentityError::Request(error.to_string()))?;
        self.sign_key(&request.public_key, leaf, now)
    }

    /// Signs a key pair of our own.
    ///
    /// # Errors
    /// As `sign`.
    pub fn sign_own(&self, key: &Key, leaf: &Leaf, now: Timestamp) -> Result<SignedChain, IdentityError> {
        self.sign_key(&key.0, leaf, now)
    }

    fn sign_key(
        &self,
        key: &impl PublicKeyData,
        leaf: &Leaf,
        now: Timestamp,
    ) -> Result<SignedChain, IdentityError> {
        if !(SHORTEST..=DAY).contains(&leaf.lifetime) {
            return Err(IdentityError::Lifetime(leaf.lifetime));
        }
        if leaf.id.trust_domain() != &self.domain || leaf.id.path().is_empty() {
            return Err(IdentityError::Peer {
                found: leaf.id.clone(),
                expected: format!("a workload of {}", self.domain),
            });
        }
        if self.intermediate_ends.as_second() < now.as_second() + SHORTEST {
            return Err(IdentityError::Ended(self.intermediate_ends));
        }
        let ends = (now.as_second() + leaf.lifetime).min(self.intermediate_ends.as_second());
        let params = leaf_params(leaf, now.as_second() - BACKDATE, ends)?;
        let cert = params.signed_by(key, &self.issuer).map_err(|error| failed("leaf", &error))?;
        let not_after = Timestamp::from_second(ends).expect("a time of ours");
        Ok(SignedChain {
            id: leaf.id.clone(),
            chain: vec![cert.der().to_vec(), self.intermediate.clone()],
            not_after,
        })
    }
}

/// When a certificate is to be renewed: at half its life, moved by up to a tenth of it so that not all
/// renew at once. `jitter` is 0 to 255, drawn by the caller.
#[must_use]
pub fn renew_at(not_before: Timestamp, not_after: Timestamp, jitter: u8) -> Timestamp {
    let life = not_after.as_millisecond() - not_before.as_millisecond();
    let moved = life / 10 * (i64::from(jitter) - 128) / 256;
    let at = not_before.as_millisecond() + life / 2 + moved;
    Timestamp::from_millisecond(at).unwrap_or(not_after)
}

fn intermediate(
    domain: &TrustDomain,
    root: &[u8],
    root_key: &Key,
    now: Timestamp,
) -> Result<(Vec<u8>, Key), IdentityError> {
    let key = Key::generate()?;
    let der = CertificateDer::from(root.to_vec());
    let issuer = Issuer::from_ca_cert_der(&der, &root_key.0).map_err(|error| failed("issuer", &error))?;
    let params = ca_params(domain, "Outis intermediate", 0, now, INTERMEDIATE_LIFE)?;
    let cert = params.signed_by(&key.0, &issuer).map_err(|error| failed("intermediate", &error))?;
    Ok((cert.der().to_vec(), key))
}

fn ca_params(
    domain: &TrustDomain,
    name: &str,
    below: u8,
    now: Timestamp,
    life: i64,
) -> Result<CertificateParams, IdentityError> {
    let mut params = base(now.as_second() - BACKDATE, now.as_second() + life)?;
    // The serial in the name keeps one authority's intermediates apart for path building.
    let serial =
        params.serial_number.as_ref().map(|serial| hex::encode(&serial.to_bytes()[..4])).unwrap_or_default();
    params.distinguished_name.push(DnType::OrganizationName, "Outis");
    params.distinguished_name.push(DnType::CommonName, format!("{name} {serial}"));
    params.subject_alt_names = vec![uri(&domain.id())?];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(leaf: &Leaf, from: i64, to: i64) -> Result<CertificateParams, IdentityError> {
    let mut params = base(from, to)?;
    params.distinguished_name.push(DnType::OrganizationName, "Outis");
    params.subject_alt_names = vec![uri(&leaf.id)?];
    for name in &leaf.dns {
        let name = name
            .as_str()
            .try_into()
            .map_err(|_| IdentityError::Request(format!("{name:?} is no DNS name")))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    // Basic constraints in so many words: some readers take their absence for a fault.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Times, a random serial of 16 bytes, an empty name.
pub(crate) fn base(from: i64, to: i64) -> Result<CertificateParams, IdentityError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial)
        .map_err(|_| IdentityError::Make { what: "serial number", why: "no random bytes".into() })?;
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let at = |second| time::OffsetDateTime::from_unix_timestamp(second).expect("a time of ours");
    (params.not_before, params.not_after) = (at(from), at(to));
    Ok(params)
}

fn uri(id: &SpiffeId) -> Result<SanType, IdentityError> {
    let text = id.to_string();
    text.as_str()
        .try_into()
        .map(SanType::URI)
        .map_err(|_| IdentityError::Request(format!("{text:?} is no URI")))
}

pub(crate) fn failed(what: &'static str, error: &rcgen::Error) -> IdentityError {
    IdentityError::Make { what, why: error.to_string() }
}

#[cfg(test)]
mod tests;
