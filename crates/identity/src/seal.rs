//! The authority's keys at rest: AES-256-GCM under a key from a Secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use outis_model::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::IdentityError;
use crate::rotation::Rotation;

/// Binds the bytes to their use: sealed bytes of something else do not open as an authority.
const CONTEXT: &[u8] = b"outis authority v1";

/// What the seal vouches for beside the keys: the certificates lie in the clear, and whoever may write
/// the Secret but does not have the key must not be able to put a root of their own among them, nor to move
/// the phase.
fn vouched(sealed: &Sealed) -> Vec<u8> {
    let mut all = CONTEXT.to_vec();
    let mut add = |text: &str| {
        // Hexadecimal has no comma in it, so no two lists read the same.
        all.push(b',');
        all.extend_from_slice(text.as_bytes());
    };
    add(&sealed.line.root);
    add(&sealed.line.intermediate);
    sealed.retired.iter().for_each(|root| add(root));
    // Left out where they are as in the beginning: what was sealed before there was a rotation still opens.
    if let Some(next) = &sealed.next {
        add(&format!("next={},{}", next.root, next.intermediate));
    }
    if sealed.rotation != Rotation::default() {
        add(&format!("rotation={}", serde_json::to_string(&sealed.rotation).expect("texts are JSON")));
    }
    all
}

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
    /// Those that sign.
    #[serde(flatten)]
    pub line: Certificates,
    /// Former roots that are still trusted, DER, hexadecimal.
    #[serde(default)]
    pub retired: Vec<String>,
    /// Those that will sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Certificates>,
    /// How far the replacement of the root is.
    #[serde(default)]
    pub rotation: Rotation,
    /// Nonce and ciphertext of all keys, hexadecimal.
    pub keys: String,
}

/// A root and the intermediate under it, DER, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Root certificate.
    pub root: String,
    /// Intermediate certificate.
    pub intermediate: String,
}

/// Keys of a root and its intermediate, PKCS#8; of the next ones too, while there are some.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) root: Vec<u8>,
    pub(crate) intermediate: Vec<u8>,
    // A boxed twin and not a flattened one: serde would leave copies of the bytes behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Box<Keys>>,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.root.zeroize();
        self.intermediate.zeroize();
    }
}

/// Seals the keys into `around`, whose certificates are vouched for with them.
pub(crate) fn seal(key: &SealKey, keys: &Keys, mut around: Sealed) -> Result<Sealed, IdentityError> {
    let mut bytes = serde_json::to_vec(keys).expect("bytes are JSON");
    let vouched = vouched(&around);
    let nonce = key
        .cipher()
        .seal_in_place_append_tag(Aad::from(&vouched), &mut bytes)
        .map_err(|_| IdentityError::Make { what: "sealed authority", why: "no random bytes".into() })?;
    around.keys = hex::encode([&nonce.as_ref()[..], &bytes].concat());
    Ok(around)
}

pub(crate) fn open(key: &SealKey, sealed: &Sealed) -> Result<Keys, IdentityError> {
    let bytes = hex::decode(&sealed.keys).map_err(|_| IdentityError::Unseal)?;
    let vouched = vouched(sealed);
    let (nonce, cipher) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(IdentityError::Unseal)?;
    let mut cipher = cipher.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key
        .cipher()
        .open_in_place(nonce, Aad::from(&vouched), &mut cipher)
        .map_err(|_| IdentityError::Unseal)?;
    let keys = serde_json::from_slice(plain).map_err(|_| IdentityError::Unseal);
    plain.zeroize();
    keys
}
