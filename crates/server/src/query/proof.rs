//! Proof of a Kubernetes user without their credentials.
//!
//! The command line makes a key pair, creates a CertificateSigningRequest (signer `outis.dev/user`)
//! with it, and signs each request with the key. The API server stamps the object with the user it
//! authenticated (`spec.username`, `spec.groups`, `spec.extra`; KEP-1513), and no client can write
//! those fields, so whoever holds the key is that user. Nothing is ever issued for it.
//!
//! Header `x-outis-proof: <csr name>;<milliseconds since the epoch>;<base64 signature>`, where the
//! signature is ECDSA P-256 SHA-256 over `<method> <path and query> <milliseconds>`.

use http::HeaderMap;

/// The header's name.
pub const HEADER: &str = "x-outis-proof";
/// Signer name of the proving CertificateSigningRequest.
pub const SIGNER: &str = "outis.dev/user";
/// How old a signature may be, either way of our clock, in milliseconds.
pub const FRESH: i64 = 120_000;

/// A proof as it came in: not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Name of the CertificateSigningRequest.
    pub csr: String,
    /// When it was signed, milliseconds since the epoch.
    pub at: i64,
    /// ASN.1 DER signature.
    pub signature: String,
    /// What was signed.
    pub message: String,
}

/// Why a request carries no usable proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No header.
    #[error("the request has no {HEADER} header; use the `outis` command line, which adds it")]
    Missing,
    /// The header has another shape.
    #[error("the {HEADER} header is not `<csr>;<milliseconds>;<signature>`")]
    Shape,
}

/// The text that is signed.
#[must_use]
pub fn message(method: &str, target: &str, at: i64) -> String {
    format!("{method} {target} {at}")
}

/// The header for a signature.
#[must_use]
pub fn header(csr: &str, at: i64, signature: &str) -> String {
    format!("{csr};{at};{signature}")
}

/// Reads the proof of a request.
///
/// # Errors
/// The header is missing or has another shape.
pub fn read(method: &str, target: &str, headers: &HeaderMap) -> Result<Signed, ProofError> {
    let value = headers.get(HEADER).ok_or(ProofError::Missing)?.to_str().map_err(|_| ProofError::Shape)?;
    let mut parts = value.split(';');
    let (Some(csr), Some(at), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ProofError::Shape);
    };
    let at: i64 = at.parse().map_err(|_| ProofError::Shape)?;
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if csr.is_empty() || csr.len() > 253 || !csr.bytes().all(fits) || signature.len() > 256 {
        return Err(ProofError::Shape);
    }
    let message = message(method, target, at);
    Ok(Signed { csr: csr.into(), at, signature: signature.into(), message })
}
