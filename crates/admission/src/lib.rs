#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cel;
mod fault;
mod json;
mod judge;
mod matching;
pub mod pod_security;
mod policy;
mod question;
mod registration;
mod rego;
pub mod scan;
mod set;
mod text;

pub use fault::Fault;
pub use judge::{Judge, Limits};
pub use policy::Policy;
pub use registration::{RegistrationRule, Scope, rules};
pub use set::PolicySet;
pub use text::{FALLBACK_BYTES, WARNING_CHARS, refusal_text, warnings};
