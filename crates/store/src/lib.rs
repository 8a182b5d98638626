//! outis-store.
