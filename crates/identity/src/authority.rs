//! The certificate authority: root, intermediate, leaves (X509-SVID.md sections 2 to 5).

use outis_model::port::SignedChain;
use outis_model::{SpiffeId, Timestamp, TrustDomain};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;

use crate::error::IdentityError;
use crate::keys::Key;
use crate::rotation::{Phase, Rotation, Step};
use crate::seal::{SealKey, Sealed, open, seal};

mod line;

use line::{INTERMEDIATE_LIFE, Line, ROOT_LIFE, der};

const DAY: i64 = 86_400;
/// The shortest lifetime of a leaf.
const SHORTEST: i64 = 60;
/// The longest lifetime of a leaf, in seconds.
pub const LONGEST: i64 = DAY;
/// How far a certificate's validity reaches back, for clocks that are behind.
const BACKDATE: i64 = 10;

/// Root and intermediate with their keys; while the root is replaced, the next ones beside them.
pub struct Authority {
    domain: TrustDomain,
    /// Signs.
    line: Line,
    /// Made, and not signing yet.
    next: Option<Line>,
    /// Former roots that are still trusted. Nobody has their keys any more.
    retired: Vec<Vec<u8>>,
    rotation: Rotation,
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
        let line = Line::create(domain, now)?;
        Ok(Self { domain: domain.clone(), line, next: None, retired: vec![], rotation: Rotation::default() })
    }

    /// The authority at rest.
    ///
    /// # Errors
    /// The random source refused.
    pub fn seal(&self, key: &SealKey) -> Result<Sealed, IdentityError> {
        let mut keys = self.line.keys();
        keys.next = self.next.as_ref().map(|line| Box::new(line.keys()));
        seal(key, &keys, self.open_part())
    }

    /// What of the authority lies in the open, keys left out.
    fn open_part(&self) -> Sealed {
        Sealed {
            line: self.line.certificates(),
            retired: self.retired.iter().map(hex::encode).collect(),
            next: self.next.as_ref().map(Line::certificates),
            rotation: self.rotation.clone(),
            keys: String::new(),
        }
    }

    /// Whether this is what was put to rest.
    #[must_use]
    pub fn rests_in(&self, sealed: &Sealed) -> bool {
        self.open_part() == Sealed { keys: String::new(), ..sealed.clone() }
    }

    /// The authority from rest, in the phase it was put to rest in.
    ///
    /// # Errors
    /// Another key, changed bytes (certificates and phase included), bytes that are none of ours, or an
    /// authority of another trust domain.
    pub fn open(domain: &TrustDomain, sealed: &Sealed, key: &SealKey) -> Result<Self, IdentityError> {
        let keys = open(key, sealed)?;
        let retired = sealed.retired.iter().map(|text| der(text)).collect::<Result<_, _>>()?;
        let next = match (&sealed.next, &keys.next) {
            (Some(sealed), Some(keys)) => Some(Line::open(domain, sealed, keys)?),
            (None, None) => None,
            _ => return Err(IdentityError::Unseal),
        };
        let line = Line::open(domain, &sealed.line, &keys)?;
        Ok(Self { domain: domain.clone(), line, next, retired, rotation: sealed.rotation.clone() })
    }

    /// The roots of the trust bundle, DER each; the one that signs first.
    #[must_use]
    pub fn roots(&self) -> Vec<Vec<u8>> {
        let published = self.rotation.phase >= Phase::Published;
        let next = self.next.iter().filter(|_| published).map(|line| &line.root);
        std::iter::once(&self.line.root).chain(next).chain(&self.retired).cloned().collect()
    }

    /// The intermediate, DER: with another one, leaves are signed by another key.
    #[must_use]
    pub fn intermediate(&self) -> &[u8] {
        &self.line.intermediate
    }

    /// A short name of the root that signs: the beginning of its SHA-256.
    #[must_use]
    pub fn root(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.line.root);
        hex::encode(&digest.as_ref()[..8])
    }

    /// When that root ends.
    #[must_use]
    pub fn root_ends(&self) -> Timestamp {
        self.line.root_ends
    }

    /// How far the replacement of the root is.
    #[must_use]
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Whether a tenth of the root's life or less is left.
    #[must_use]
    pub fn root_due(&self, now: Timestamp) -> bool {
        now.as_second() > self.line.root_ends.as_second() - ROOT_LIFE / 10
    }

    /// Whether the intermediate is past two thirds of its life and should be replaced. Leaves of the
    /// old one stay valid: they carry it, and the root is the same.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> bool {
        now.as_second() > self.line.intermediate_ends.as_second() - INTERMEDIATE_LIFE / 3
    }

    /// The same root with a new intermediate.
    ///
    /// # Errors
    /// The library or the random source refused.
    pub fn rotated(&self, now: Timestamp) -> Result<Self, IdentityError> {
        Ok(Self { line: self.line.renewed(&self.domain, now)?, ..self.copy()? })
    }

    /// The authority after a step of replacing its root. `by` is who asked for a new one.
    ///
    /// # Errors
    /// The library or the random source refused, or there is no next root to sign with.
    pub fn stepped(&self, step: &Step, by: &str, now: Timestamp) -> Result<Self, IdentityError> {
        let mut after = self.copy()?;
        after.rotation = self.rotation.after(step, by, now);
        match step {
            Step::Prepare => after.next = Some(Line::create(&self.domain, now)?),
            Step::Activate(_) => {
                let next = after.next.take().ok_or(IdentityError::NoNext)?;
                // The old root's key goes here, and with it whoever could sign under it.
                after.retired.push(std::mem::replace(&mut after.line, next).root);
            }
            Step::Retire => after.retired.clear(),
            Step::Wait | Step::Recount | Step::Publish | Step::Finish(_) => {}
        }
        Ok(after)
    }

    /// The same authority for a controller that has just begun; see `Rotation::resumed`.
    #[must_use]
    pub fn resumed(mut self, now: Timestamp) -> Self {
        self.rotation = self.rotation.resumed(now);
        self
    }

    fn copy(&self) -> Result<Self, IdentityError> {
        Ok(Self {
            domain: self.domain.clone(),
            line: self.line.copy()?,
            next: self.next.as_ref().map(Line::copy).transpose()?,
            retired: self.retired.clone(),
            rotation: self.rotation.clone(),
        })
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
        if !(SHORTEST..=LONGEST).contains(&leaf.lifetime) {
            return Err(IdentityError::Lifetime(leaf.lifetime));
        }
        if leaf.id.trust_domain() != &self.domain || leaf.id.path().is_empty() {
            return Err(IdentityError::Peer {
                found: leaf.id.clone(),
                expected: format!("a workload of {}", self.domain),
            });
        }
        if self.line.intermediate_ends.as_second() < now.as_second() + SHORTEST {
            return Err(IdentityError::Ended(self.line.intermediate_ends));
        }
        let ends = (now.as_second() + leaf.lifetime).min(self.line.intermediate_ends.as_second());
        let params = leaf_params(leaf, now.as_second() - BACKDATE, ends)?;
        let cert = params.signed_by(key, &self.line.issuer).map_err(|error| failed("leaf", &error))?;
        let not_after = Timestamp::from_second(ends).expect("a time of ours");
        Ok(SignedChain {
            id: leaf.id.clone(),
            chain: vec![cert.der().to_vec(), self.line.intermediate.clone()],
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
mod rotation_tests;
#[cfg(test)]
mod tests;
