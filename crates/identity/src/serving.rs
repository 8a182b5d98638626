//! The webhook's serving certificate: an authority of its own, kept in a Secret the controller alone
//! writes. 90 days, renewed at two thirds; the old root stays in the bundle until the new one is in use.

use outis_model::{Secret, Timestamp};
use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::authority::{base, failed};
use crate::error::IdentityError;
use crate::keys::Key;

const LIFE: i64 = 90 * 86_400;
const BACKDATE: i64 = 60;

/// A serving certificate with the root that vouches for it. The root's key is thrown away once it has
/// signed: nobody can make a second one.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Leaf and root, PEM.
    pub chain: String,
    /// Key, PKCS#8 PEM.
    pub key: Secret<String>,
    /// The root alone, PEM: what goes into `caBundle`.
    pub root: String,
}

/// What to do about a serving certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Make a new one; keep the old root in the bundle.
    Renew,
}

/// Makes a serving certificate for these DNS names.
///
/// # Errors
/// The library or the random source refused, or a name is none.
pub fn create(names: &[String], now: Timestamp) -> Result<Serving, IdentityError> {
    let (from, to) = (now.as_second() - BACKDATE, now.as_second() + LIFE);
    let root_key = Key::generate()?;
    let mut params = base(from, to)?;
    params.distinguished_name.push(DnType::CommonName, format!("Outis webhook root {from}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&root_key.0).map_err(|error| failed("serving root", &error))?;
    let issuer = Issuer::new(params, &root_key.0);
    let key = Key::generate()?;
    let mut leaf = base(from, to)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    for name in names {
        let name = name
            .as_str()
            .try_into()
            .map_err(|_| IdentityError::Request(format!("{name:?} is no DNS name")))?;
        leaf.subject_alt_names.push(SanType::DnsName(name));
    }
    let leaf = leaf.signed_by(&key.0, &issuer).map_err(|error| failed("serving certificate", &error))?;
    let (leaf, root) = (leaf.der().to_vec(), root.der().to_vec());
    Ok(Serving { chain: crate::to_pem(&[leaf, root.clone()]), key: key.pem(), root: crate::to_pem(&[root]) })
}

/// Whether a chain (PEM, leaf first) is past two thirds of its life, or is none.
#[must_use]
pub fn due(chain: &[u8], now: Timestamp) -> Due {
    let ends = crate::from_pem(chain).and_then(|chain| crate::tls::validity(&chain[0])).map(|(_, ends)| ends);
    match ends {
        Ok(ends) if now.as_second() <= ends.as_second() - LIFE / 3 => Due::Nothing,
        _ => Due::Renew,
    }
}

/// Whether a chain (PEM, leaf first) is believed for a name under a bundle (PEM): what the API server will
/// find when it calls.
///
/// # Errors
/// What it will say.
pub fn believed(chain: &[u8], bundle: &[u8], name: &str, now: Timestamp) -> Result<(), IdentityError> {
    let chain: Vec<CertificateDer<'_>> =
        crate::from_pem(chain)?.into_iter().map(CertificateDer::from).collect();
    let roots: Vec<CertificateDer<'_>> =
        crate::from_pem(bundle)?.into_iter().map(CertificateDer::from).collect();
    let untrusted = |error: webpki::Error| IdentityError::Untrusted(error.to_string());
    let anchors =
        roots.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(untrusted)?;
    let leaf =
        EndEntityCert::try_from(&chain[0]).map_err(|error| IdentityError::Certificate(error.to_string()))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let time = rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    leaf.verify_for_usage(algorithms.all, &anchors, &chain[1..], time, KeyUsage::server_auth(), None, None)
        .map_err(untrusted)?;
    let name = ServerName::try_from(name).map_err(|error| IdentityError::Request(error.to_string()))?;
    leaf.verify_is_valid_for_subject_name(&name).map_err(untrusted)
}

/// The bundle for the webhook objects: the current root first, then those of former bundles that are
/// still in time, each once, four at most.
#[must_use]
pub fn bundle(current: &str, former: &[u8], now: Timestamp) -> String {
    let mut roots = crate::from_pem(current.as_bytes()).unwrap_or_default();
    for root in crate::from_pem(former).unwrap_or_default() {
        let in_time = crate::tls::validity(&root).is_ok_and(|(_, ends)| ends > now);
        if in_time && !roots.contains(&root) && roots.len() < 4 {
            roots.push(root);
        }
    }
    crate::to_pem(&roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "outis-webhook.outis-system.svc";

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + days * 86_400).expect("in range")
    }

    fn made(days: i64) -> Serving {
        create(&[NAME.into()], at(days)).expect("made")
    }

    #[test]
    fn it_is_believed_for_its_name_under_its_root_alone() {
        let (serving, other) = (made(0), made(0));
        assert_eq!(believed(serving.chain.as_bytes(), serving.root.as_bytes(), NAME, at(1)), Ok(()));
        for (root, name, day) in
            [(&other.root, NAME, 1), (&serving.root, "other.svc", 1), (&serving.root, NAME, 91)]
        {
            assert!(
                believed(serving.chain.as_bytes(), root.as_bytes(), name, at(day)).is_err(),
                "{name} on day {day}"
            );
        }
    }

    #[test]
    fn it_is_renewed_at_two_thirds_and_the_old_root_stays_in_the_bundle_while_it_lasts() {
        let old = made(0);
        assert_eq!(due(old.chain.as_bytes(), at(59)), Due::Nothing);
        assert_eq!(due(old.chain.as_bytes(), at(61)), Due::Renew);
        assert_eq!(due(b"", at(0)), Due::Renew);
        let new = made(61);
        let both = bundle(&new.root, old.root.as_bytes(), at(61));
        for serving in [&old, &new] {
            assert_eq!(believed(serving.chain.as_bytes(), both.as_bytes(), NAME, at(62)), Ok(()));
        }
        assert_eq!(bundle(&new.root, both.as_bytes(), at(95)), new.root, "the old root has ended");
    }
}
