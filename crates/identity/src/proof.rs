//! Signatures with which a person proves which Kubernetes user they are: the key's public half lies in a
//! CertificateSigningRequest the API server stamped with that user.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use rustls_pki_types::CertificateSigningRequestDer;

use crate::error::IdentityError;

/// Whether `signature` over `message` was made with the key of the signing request (DER).
///
/// # Errors
/// The request is not one.
pub fn verify(request: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, IdentityError> {
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
        .map_err(|error| IdentityError::Request(error.to_string()))?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, request.public_key.der_bytes());
    Ok(key.verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn only_the_key_of_the_request_signs_for_it() {
        let (mine, other) = (Key::generate().expect("key"), Key::generate().expect("key"));
        let request = mine.request("jo").expect("request");
        let signature = mine.sign(b"GET /v1/events 1").expect("signed");
        assert_eq!(verify(&request, b"GET /v1/events 1", &signature), Ok(true));
        assert_eq!(verify(&request, b"GET /v1/events 2", &signature), Ok(false));
        let foreign = other.sign(b"GET /v1/events 1").expect("signed");
        assert_eq!(verify(&request, b"GET /v1/events 1", &foreign), Ok(false));
        assert!(matches!(verify(b"none", b"", b""), Err(IdentityError::Request(_))));
    }
}
