//! The authority's keys at rest: AES-256-GCM under a key from a Secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use outis_model::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::IdentityError;

/// Binds the bytes to their use: sealed bytes of something else do not open as an authority.
const CONTEXT: &[u8] = b"outis authority v1";

/// A 32-byte key.
#[derive(Clone)]
pub struct SealKey(Secret<[u8; 32]>);

impl SealKey {
    /// A new key.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| IdentityError::Make { what: "sealing key", why: "no random bytes".into() })?;
        Ok(Self(Secret::new(bytes)))
    }

    /// From 32 bytes.
    ///
    /// # Errors
    /// Another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
            IdentityError::Key(format!("a sealing key has 32 bytes, this one {}", bytes.len()))
        })?;
        Ok(Self(Secret::new(bytes)))
    }

    /// The bytes, for the Secret.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.reveal()
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.reveal()).expect("32 bytes are a key")
    }
}

/// Certificates in the clear, keys sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Root certificate, DER, hexadecimal.
    pub root: String,
    /// Intermediate certificate, DER, hexadecimal.
    pub intermediate: String,
    /// Former roots that are still trusted, DER, hexadecimal.
    #[serde(default)]
    pub retired: Vec<String>,
    /// Nonce and ciphertext of both keys, hexadecimal.
    pub keys: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) root: Vec<u8>,
    pub(crate) intermediate: Vec<u8>,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.root.zeroize();
        self.intermediate.zeroize();
    }
}

pub(crate) fn seal(key: &SealKey, keys: &Keys) -> Result<String, IdentityError> {
    let mut bytes = serde_json::to_vec(keys).expect("bytes are JSON");
    let nonce = key
        .cipher()
        .seal_in_place_append_tag(Aad::from(CONTEXT), &mut bytes)
        .map_err(|_| IdentityError::Make { what: "sealed authority", why: "no random bytes".into() })?;
    Ok(hex::encode([&nonce.as_ref()[..], &bytes].concat()))
}

pub(crate) fn open(key: &SealKey, sealed: &str) -> Result<Keys, IdentityError> {
    let bytes = hex::decode(sealed).map_err(|_| IdentityError::Unseal)?;
    let (nonce, cipher) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(IdentityError::Unseal)?;
    let mut cipher = cipher.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key
        .cipher()
        .open_in_place(nonce, Aad::from(CONTEXT), &mut cipher)
        .map_err(|_| IdentityError::Unseal)?;
    serde_json::from_slice(plain).map_err(|_| IdentityError::Unseal)
}
