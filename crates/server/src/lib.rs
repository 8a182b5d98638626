#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod health;
pub mod http;
pub mod problem;
pub mod query;
pub mod webhook;
