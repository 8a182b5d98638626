#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod admission_policy;

pub use admission_policy::{AdmissionPolicy, AdmissionPolicySpec};
