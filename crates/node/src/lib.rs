//! outis-node.
