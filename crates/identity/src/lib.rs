#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod attest;
mod authority;
mod error;
mod keys;
pub mod proof;
pub mod rotation;
mod seal;
pub mod serving;
pub mod tls;

pub use authority::{Authority, LONGEST, Leaf, renew_at};
pub use error::IdentityError;
pub use keys::Key;
pub use seal::{Certificates, SealKey, Sealed};

/// Verifies a chain (leaf first, DER each) against a bundle's roots; gives the identity.
///
/// # Errors
/// Not a certificate, no chain to a root, expired, or no single SPIFFE ID in it.
pub fn verify(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    now: outis_model::Timestamp,
) -> Result<outis_model::SpiffeId, IdentityError> {
    tls::verify_chain(chain, roots, now)
}

/// Certificates as PEM text.
#[must_use]
pub fn to_pem(certificates: &[Vec<u8>]) -> String {
    keys::pem("CERTIFICATE", certificates)
}

/// Certificates from PEM text, DER each.
///
/// # Errors
/// Not PEM, or no certificate in it.
pub fn from_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    use rustls_pki_types::pem::PemObject;
    let found: Result<Vec<_>, _> = rustls_pki_types::CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| IdentityError::Pem(error.to_string()))?;
    if found.is_empty() {
        return Err(IdentityError::Pem("no certificate in it".into()));
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}

/// A certificate request from PEM text, DER.
///
/// # Errors
/// Not PEM, or no request in it.
pub fn request_from_pem(text: &[u8]) -> Result<Vec<u8>, IdentityError> {
    use rustls_pki_types::pem::PemObject;
    let found = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(text);
    found.map(|der| der.to_vec()).map_err(|error| IdentityError::Pem(error.to_string()))
}

/// A certificate request (DER) as PEM text.
#[must_use]
pub fn request_to_pem(request: &[u8]) -> String {
    keys::pem("CERTIFICATE REQUEST", &[request.to_vec()])
}
