#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod config;
mod confinement;
mod field;
mod head;
pub mod path;
mod process;
mod record;
mod socket;
mod wire;

pub use config::{COUNTERS, Config, Counter, LEAF, OPENS_ALL, OPENS_LISTED, OPENS_NONE, PREFIX, RINGS};
pub use confinement::{Confinement, GATES, Gate, NODE_ADDRESSES, PROBE_PORTS, Stopped};
pub use field::{FIELDS, Field};
pub use head::{Head, Kind};
pub use process::{ANCESTORS, ARGS, Ancestor, CUT, Exec, Exit, FORK_ARGS, Fork, MEMFD, UPPER_LAYER};
pub use record::{Open, RECORD};
pub use socket::Socket;

/// Raised with every change of a record's shape or meaning.
pub const VERSION: u16 = 1;
