//! Bad input, as a user makes it: each test is named after it and drives the binary. What it says names what was
//! attempted, with what, and what to do; what it ends with is 64 for bad usage or configuration, 2 for what could not
//! be done, 1 for findings. A kernel that lacks something is in `kernel.rs` and in `crates/node/tests/bad_input.rs`.

mod house;

#[path = "bad_input/cluster.rs"]
mod cluster;
#[path = "bad_input/doors.rs"]
mod doors;
#[path = "bad_input/files.rs"]
mod files;
