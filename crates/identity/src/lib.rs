//! outis-identity.
