//! outis-cluster.
