//! outis-detect.
