#![doc = include_str!("../README.md")]

mod attest;
pub mod cgroup;

pub use attest::Attestor;
