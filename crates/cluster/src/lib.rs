#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod client;
mod watch;

pub use client::{ClientError, client};
pub use watch::{State, Watched, watch};
