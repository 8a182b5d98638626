//! The hash chain: each record vouches for all before it.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256 of a chained record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Hash {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// The hash of a record: over its predecessor's hash, its position (big-endian) and its bytes.
/// The first record's predecessor is all zeroes.
#[must_use]
pub fn link(previous: Hash, seq: u64, bytes: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&previous.0);
    context.update(&seq.to_be_bytes());
    context.update(bytes);
    let mut hash = Hash::default();
    hash.0.copy_from_slice(context.finish().as_ref());
    hash
}

/// A row on disk: the hash, then the record's bytes.
pub(crate) fn row(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    [&hash.0[..], bytes].concat()
}

/// Takes a row apart.
pub(crate) fn split(row: &[u8]) -> Option<(Hash, &[u8])> {
    let (hash, bytes) = row.split_first_chunk::<32>()?;
    Some((Hash(*hash), bytes))
}
