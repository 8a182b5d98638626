//! outis-e2e.
fn main() {}
