//! The real programs in the real kernel, against what /proc says of the same processes.

#![expect(clippy::unwrap_used, reason = "a test says where it stopped")]

#[path = "kernel/files.rs"]
mod files;
#[path = "kernel/house.rs"]
mod house;
#[path = "kernel/life.rs"]
mod life;
#[path = "kernel/network.rs"]
mod network;
#[path = "kernel/pods.rs"]
mod pods;
#[path = "kernel/process.rs"]
mod process;
