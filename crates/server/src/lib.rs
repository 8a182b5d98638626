//! outis-server.
