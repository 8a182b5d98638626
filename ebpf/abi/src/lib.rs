//! outis-abi.
