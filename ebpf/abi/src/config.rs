//! What user space tells the programs while they run, and what they count for it.

/// Rings at most.
pub const RINGS: usize = 64;
/// Bytes of a path that prefixes are compared on.
pub const PREFIX: usize = 64;
/// Bytes of a file name that suffixes are compared on.
pub const LEAF: usize = 32;

/// [`Config::opens`]: no filter.
pub const OPENS_ALL: u32 = 0;
/// [`Config::opens`]: for writing (when `writes` is set), below a listed prefix, or with a listed suffix.
pub const OPENS_LISTED: u32 = 1;
/// [`Config::opens`]: none.
pub const OPENS_NONE: u32 = 2;

/// The kernel-side filter. All zero but `kinds` means that everything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// Bits of the kinds that are wanted.
    pub kinds: u32,
    /// How opens are filtered.
    pub opens: u32,
    /// With [`OPENS_LISTED`]: whether opens for writing pass.
    pub writes: u32,
    /// With [`OPENS_LISTED`]: whether there are suffixes.
    pub suffixes: u32,
}

const _: () = assert!(size_of::<Config>() == 16);

#[cfg(feature = "user")]
impl Config {
    /// As the map's value.
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        [self.kinds, self.opens, self.writes, self.suffixes]
    }
}

/// What is counted apart from losses, which are counted by ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Not asked for by [`Config`].
    Filtered,
    /// Done by the agent itself.
    Own,
    /// Done by a task outside of the agent's PID namespace.
    Foreign,
}

/// How many there are.
pub const COUNTERS: usize = 3;
