//! Random numbers, for ids and jitter.

use outis_model::{RecordId, Timestamp};

/// A number nobody can guess.
pub(crate) fn number() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_be_bytes(bytes),
        // Without chance two ids of one millisecond could be the same; the clock's nanoseconds keep them apart.
        Err(_) => u128::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0),
    }
}

/// A new record's id.
pub(crate) fn id(now: Timestamp) -> RecordId {
    RecordId::new(now, number())
}

/// A byte to spread what would happen at once.
pub(crate) fn byte() -> u8 {
    (number() & 0xff) as u8
}
