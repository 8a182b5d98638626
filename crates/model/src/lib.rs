#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod alert;
pub mod decision;
pub mod effect;
pub mod event;
pub mod input;
pub mod name;
pub mod port;
pub mod record;
pub mod redact;
pub mod review;
pub mod secret;
pub mod snapshot;
pub mod spiffe;

pub use decision::{Decision, Mode, Reason, Verdict};
pub use effect::Effect;
pub use input::Input;
pub use jiff::Timestamp;
pub use name::{ContainerId, Name, Namespace, NodeName, PodUid, PolicyName, RuleName, ServiceAccount};
pub use record::{Record, RecordId, RecordKind};
pub use secret::Secret;
pub use snapshot::Snapshot;
pub use spiffe::{SpiffeId, TrustDomain};
