#![doc = include_str!("../README.md")]

mod attest;
mod attribution;
mod btf;
mod cgroup;
mod decode;
mod facts;
mod object;
mod quarantine;
mod sensor;

pub use attest::Attestor;
pub use attribution::{Attribution, Held, Hold};
pub use btf::{Btf, BtfError};
pub use cgroup::Anchor;
pub use decode::{Clock, DecodeError, Decoded, decode};
pub use facts::{Fact, Facts, Standing, facts};
pub use object::object;
pub use quarantine::{Cut, Quarantine, QuarantineError, Stops, Target};
pub use sensor::{
    Cgroups, Counts, Interest, Kind, Opens, Raw, Ring, RingError, Sensor, SensorConfig, SensorError,
};
