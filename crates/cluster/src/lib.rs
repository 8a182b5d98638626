#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anew;
pub mod apply;
mod client;
pub mod diagnose;
pub mod effects;
pub mod follow;
pub mod install;
pub mod lease;
pub mod live;
pub mod manifests;
pub mod preflight;
pub mod registration;
pub mod review;
mod time;
pub mod uninstall;
mod watch;

pub use client::{ClientError, client};
pub use watch::{State, Watched, watch, watch_with};
