//! A root and its intermediate: how they are made, kept and copied.

use outis_model::{Timestamp, TrustDomain};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;

use super::{BACKDATE, DAY, base, failed, uri};
use crate::error::IdentityError;
use crate::keys::Key;
use crate::seal::{Certificates, Keys};

pub(super) const ROOT_LIFE: i64 = 3650 * DAY;
pub(super) const INTERMEDIATE_LIFE: i64 = 90 * DAY;

/// A root, and the intermediate under it.
pub(super) struct Line {
    pub(super) root: Vec<u8>,
    root_key: Key,
    pub(super) root_ends: Timestamp,
    pub(super) intermediate: Vec<u8>,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) intermediate_ends: Timestamp,
}

impl Line {
    pub(super) fn create(domain: &TrustDomain, now: Timestamp) -> Result<Self, IdentityError> {
        let root_key = Key::generate()?;
        let params = ca_params(domain, "Outis root", 1, now, ROOT_LIFE)?;
        let root = params.self_signed(&root_key.0).map_err(|error| failed("root", &error))?;
        let root = root.der().to_vec();
        let (intermediate, key) = intermediate(domain, &root, &root_key, now)?;
        Self::join(root, root_key, intermediate, key)
    }

    fn join(root: Vec<u8>, root_key: Key, intermediate: Vec<u8>, key: Key) -> Result<Self, IdentityError> {
        let der = CertificateDer::from(intermediate.clone());
        let root_ends = crate::tls::validity(&root)?.1;
        let intermediate_ends = crate::tls::validity(&intermediate)?.1;
        let issuer = Issuer::from_ca_cert_der(&der, key.0).map_err(|error| failed("issuer", &error))?;
        Ok(Self { root, root_key, root_ends, intermediate, issuer, intermediate_ends })
    }

    /// From rest; only of this trust domain.
    pub(super) fn open(
        domain: &TrustDomain,
        sealed: &Certificates,
        keys: &Keys,
    ) -> Result<Self, IdentityError> {
        let (root, intermediate) = (der(&sealed.root)?, der(&sealed.intermediate)?);
        let found = crate::tls::id_of(&root)?;
        if found != domain.id() {
            return Err(IdentityError::OtherDomain { found, expected: domain.id() });
        }
        Self::join(root, Key::from_pkcs8(&keys.root)?, intermediate, Key::from_pkcs8(&keys.intermediate)?)
    }

    pub(super) fn keys(&self) -> Keys {
        let root = self.root_key.pkcs8().into_inner();
        Keys { root, intermediate: self.issuer.key().serialize_der(), next: None }
    }

    pub(super) fn certificates(&self) -> Certificates {
        Certificates { root: hex::encode(&self.root), intermediate: hex::encode(&self.intermediate) }
    }

    pub(super) fn copy(&self) -> Result<Self, IdentityError> {
        let keys = self.keys();
        let (root_key, key) = (Key::from_pkcs8(&keys.root)?, Key::from_pkcs8(&keys.intermediate)?);
        Self::join(self.root.clone(), root_key, self.intermediate.clone(), key)
    }

    /// The same root with a new intermediate.
    pub(super) fn renewed(&self, domain: &TrustDomain, now: Timestamp) -> Result<Self, IdentityError> {
        let (intermediate, key) = intermediate(domain, &self.root, &self.root_key, now)?;
        let root_key = Key::from_pkcs8(self.root_key.pkcs8().reveal())?;
        Self::join(self.root.clone(), root_key, intermediate, key)
    }
}

pub(super) fn der(text: &str) -> Result<Vec<u8>, IdentityError> {
    hex::decode(text).map_err(|error| IdentityError::Certificate(error.to_string()))
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
