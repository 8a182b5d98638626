//! A pod that is cut off: what user space tells the programs that do it, and what they count.

/// Ports of probes at most; a pod with more has the rest cut, and user space says so.
pub const PROBE_PORTS: usize = 32;
/// Addresses of the node at most.
pub const NODE_ADDRESSES: u32 = 256;

/// What still passes. One per quarantined pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Confinement {
    /// Zero while the programs are being attached: they pass everything until all of them are.
    pub armed: u32,
    /// Whether packets on the loopback device pass: those of a pod with a network of its own never leave it.
    pub loopback: u32,
    /// How many of `ports` count.
    pub count: u32,
    /// TCP ports which the node's probes reach, in host order.
    pub ports: [u16; PROBE_PORTS],
}

/// Where a packet was stopped; the index of its [`Stopped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Gate {
    /// Before a socket of the pod's cgroup.
    CgroupIn,
    /// Behind a socket of the pod's cgroup.
    CgroupOut,
    /// Before the node's end of the pod's link, on the way in.
    LinkIn,
    /// At the node's end of the pod's link, on the way out.
    LinkOut,
}

/// How many there are.
pub const GATES: usize = 4;

/// What one gate stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stopped {
    /// When the first packet was stopped, in nanoseconds since boot; 0 before.
    pub first: u64,
    /// When the last one was.
    pub last: u64,
    /// How many.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Confinement>() == 76 && size_of::<Stopped>() == 32);

#[cfg(feature = "user")]
impl Confinement {
    /// As the map's value.
    #[must_use]
    pub fn bytes(&self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        let words = [self.armed, self.loopback, self.count];
        words
            .iter()
            .enumerate()
            .for_each(|(at, word)| bytes[at * 4..][..4].copy_from_slice(&word.to_ne_bytes()));
        self.ports
            .iter()
            .enumerate()
            .for_each(|(at, port)| bytes[12 + at * 2..][..2].copy_from_slice(&port.to_ne_bytes()));
        bytes
    }
}
