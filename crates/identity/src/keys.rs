//! Key pairs: ECDSA P-256, PKCS#8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outis_model::Secret;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};

use crate::error::IdentityError;

/// A key pair that leaves this crate only as a `Secret`, for the Workload API.
pub struct Key(pub(crate) KeyPair);

impl Key {
    /// A new key pair.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn generate() -> Result<Self, IdentityError> {
        let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        made.map(Self).map_err(|error| IdentityError::Make { what: "key pair", why: error.to_string() })
    }

    /// From PKCS#8.
    ///
    /// # Errors
    /// Not a P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, IdentityError> {
        let der = rustls_pki_types::PrivatePkcs8KeyDer::from(der.to_vec());
        let read = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256);
        read.map(Self).map_err(|error| IdentityError::Key(error.to_string()))
    }

    /// As PKCS#8.
    #[must_use]
    pub fn pkcs8(&self) -> Secret<Vec<u8>> {
        Secret::new(self.0.serialize_der())
    }

    /// As PKCS#8 PEM.
    #[must_use]
    pub fn pem(&self) -> Secret<String> {
        Secret::new(self.0.serialize_pem())
    }

    /// A signing request (PKCS#10, DER) with nothing in it but the public key and a common name.
    ///
    /// # Errors
    /// The library refused.
    pub fn request(&self, common_name: &str) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let request = params.serialize_request(&self.0);
        let request = request
            .map_err(|error| IdentityError::Make { what: "signing request", why: error.to_string() })?;
        Ok(request.der().to_vec())
    }

    /// A signature (ASN.1 DER) over a message.
    ///
    /// # Errors
    /// The library refused.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        self.0
            .sign(message)
            .map_err(|error| IdentityError::Make { what: "signature", why: error.to_string() })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// DER blocks as PEM text.
pub(crate) fn pem(label: &str, blocks: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for block in blocks {
        let body = STANDARD.encode(block);
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        for line in body.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    text
}
