//! What every record starts with.

use crate::wire::record;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A program was executed, or the attempt failed.
    Exec = 1,
    /// A thread group was created; the record's task is the child.
    Fork = 2,
    /// The last thread of a group ended.
    Exit = 3,
    /// A file was opened, or the attempt failed.
    Open = 4,
    /// A socket was connected, or the attempt failed.
    Connect = 5,
    /// A connection was accepted.
    Accept = 6,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Exec, Self::Fork, Self::Exit, Self::Open, Self::Connect, Self::Accept];

    /// Its bit in [`Config::kinds`](crate::Config).
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u16
    }
}

impl TryFrom<u16> for Kind {
    type Error = u16;
    fn try_from(number: u16) -> Result<Self, u16> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number).ok_or(number)
    }
}

record! {
    /// The acting task and the record's own data.
    Head = 104 {
        /// Bytes of the whole record.
        len: u32,
        /// [`VERSION`](crate::VERSION).
        version: u16,
        /// A [`Kind`].
        kind: u16,
        /// Nanoseconds since boot.
        stamp: u64,
        /// Sequence number in the ring; lost records have taken theirs.
        number: u64,
        /// Start of the thread group, nanoseconds since boot.
        start: u64,
        /// Id of the cgroup.
        cgroup: u64,
        /// Effective capabilities.
        cap_effective: u64,
        /// Thread group in the agent's PID namespace.
        pid: u32,
        /// Thread in the same.
        tid: u32,
        /// Parent thread group in the same; 0 for none visible.
        ppid: u32,
        /// Thread group in its innermost PID namespace.
        vpid: u32,
        /// Effective uid.
        uid: u32,
        /// Effective gid.
        gid: u32,
        /// Login uid; `u32::MAX` for none.
        loginuid: u32,
        /// Controlling terminal: major << 8 | minor; 0 for none.
        tty: u32,
        /// Name.
        comm: [u8; 16],
        /// Bytes of the cgroup's path.
        cgroup_len: u16,
        /// The syscall's number.
        syscall: u16,
        /// Zero.
        pad: u32,
    }
}
