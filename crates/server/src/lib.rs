#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod canary;
pub mod csi;
pub mod health;
pub mod http;
pub mod peer;
pub mod problem;
pub mod query;
mod unix;
pub mod webhook;
pub mod workload;
