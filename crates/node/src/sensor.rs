//! The probes while they run: loaded, attached, read. Dropping the [`Sensor`] takes all of it out of
//! the kernel; nothing is pinned.

mod error;
mod interest;
mod ring;
mod seen;
mod start;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData};
use outis_abi::{Config, Counter, LEAF, OPENS_ALL, PREFIX};

pub use error::{RingError, SensorError};
pub use interest::{Interest, Opens};
pub use outis_abi::Kind;
pub use ring::{Raw, Ring};

/// How to start.
#[derive(Debug, Clone)]
pub struct SensorConfig {
    /// How many rings; each is read by one worker. 1 to 64.
    pub rings: u32,
    /// Bytes of each ring; rounded up to a power of two and a page.
    pub ring_bytes: u32,
    /// Leave out what this process does itself.
    pub own_pid_filter: bool,
    /// What to look at from the start.
    pub interest: Interest,
    /// Which cgroup hierarchy tells containers apart.
    pub cgroups: Cgroups,
    /// Below which directory the kernel's `sys` lies: `/`, unless a recorded machine is asked.
    pub root: PathBuf,
}

/// A choice of cgroup hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cgroups {
    /// A v1 controller's where one is mounted, else v2.
    #[default]
    Detect,
    /// v2, even where v1 controllers are mounted.
    V2,
}

impl Default for SensorConfig {
    /// One ring of 8 MiB for every two processors, 8 at most, all kinds.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            rings: (processors.div_ceil(2) as u32).min(8),
            ring_bytes: 8 << 20,
            own_pid_filter: true,
            interest: Interest::default(),
            cgroups: Cgroups::Detect,
            root: "/".into(),
        }
    }
}

/// What the programs counted instead of telling it. Losses are told by [`Sensor::lost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Not asked for by the [`Interest`].
    pub filtered: u64,
    /// Done by this process.
    pub own: u64,
    /// Done outside of this process's PID namespace.
    pub foreign: u64,
}

/// The running probes.
pub struct Sensor {
    // Owns programs and links: dropped with us, detached by the kernel.
    programs: Ebpf,
    config: Array<MapData, [u32; 4]>,
    prefixes: LpmTrie<MapData, [u8; PREFIX], u8>,
    suffixes: LpmTrie<MapData, [u8; LEAF], u8>,
    lost: Array<MapData, u64>,
    counts: Array<MapData, u64>,
    listed: BTreeSet<Listed>,
    own_cgroup: String,
    rings: Vec<Ring>,
    ring_count: u32,
}

/// An entry of one of the kernel's lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Listed {
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
}

impl fmt::Debug for Sensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sensor").field("rings", &self.ring_count).finish_non_exhaustive()
    }
}

impl Sensor {
    /// Loads and attaches the probes.
    ///
    /// # Errors
    /// Each says what is missing and what to do about it.
    pub fn start(config: &SensorConfig) -> Result<Self, SensorError> {
        start::start(config)
    }

    /// The rings, to be given to one worker each. The first call takes them; another gets none.
    #[must_use]
    pub fn partitions(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// The cgroup this process runs in, as the kernel calls it. On a node that is a container itself it
    /// tells [`Attribution`](crate::Attribution) where the node begins.
    #[must_use]
    pub fn own_cgroup(&self) -> &str {
        &self.own_cgroup
    }

    /// Records that found no room, by ring. Their sequence numbers are missing in the ring.
    #[must_use]
    pub fn lost(&self) -> Vec<u64> {
        (0..self.ring_count).map(|ring| self.lost.get(&ring, 0).unwrap_or(0)).collect()
    }

    /// What was left out on purpose.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |counter| self.counts.get(&(counter as u32), 0).unwrap_or(0);
        Counts {
            filtered: count(Counter::Filtered),
            own: count(Counter::Own),
            foreign: count(Counter::Foreign),
        }
    }

    /// Changes what is looked at. While it changes, more passes than either the old or the new interest
    /// asks for, never less than both.
    ///
    /// # Errors
    /// When the kernel's lists cannot be written, or hold no more.
    pub fn set_interest(&mut self, interest: &Interest) -> Result<(), SensorError> {
        let wanted = interest.lists();
        let failed = |source| SensorError::Interest { source };
        let old = self.config.get(&0, 0).map_err(failed)?;
        let new = interest.config();
        let between = Config { kinds: old[0] | new.kinds, opens: OPENS_ALL, ..new };
        self.config.set(0, between.words(), 0).map_err(failed)?;
        for gone in self.listed.difference(&wanted) {
            match gone {
                Listed::Prefix(text) => self.prefixes.remove(&key(text)),
                Listed::Suffix(text) => self.suffixes.remove(&key(text)),
            }
            .map_err(failed)?;
        }
        for new in wanted.difference(&self.listed) {
            match new {
                Listed::Prefix(text) => self.prefixes.insert(&key(text), 1, 0),
                Listed::Suffix(text) => self.suffixes.insert(&key(text), 1, 0),
            }
            .map_err(failed)?;
        }
        self.listed = wanted;
        self.config.set(0, new.words(), 0).map_err(failed)
    }
}

/// A list's key: the text's bits, the rest zero.
fn key<const N: usize>(text: &[u8]) -> Key<[u8; N]> {
    let mut data = [0; N];
    let len = text.len().min(N);
    data[..len].copy_from_slice(&text[..len]);
    Key::new(len as u32 * 8, data)
}
