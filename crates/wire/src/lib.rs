//! outis-wire.
