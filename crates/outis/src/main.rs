//! outis.
fn main() {}
