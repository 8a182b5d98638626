//! Executions, forks, exits.

use crate::wire::record;

/// Bytes of arguments a record of an execution holds at most.
pub const ARGS: usize = 4096;
/// Bytes of arguments a record of a fork holds at most.
pub const FORK_ARGS: usize = 1024;
/// Ancestors told at most.
pub const ANCESTORS: usize = 8;

/// In `flags`: the file lies in an overlayfs upper layer.
pub const UPPER_LAYER: u32 = 1;
/// In `flags`: the file is a memfd.
pub const MEMFD: u32 = 2;
/// In `flags`: the arguments were longer than what is here.
pub const CUT: u32 = 4;

record! {
    /// A program was executed. Texts: executable, working directory, arguments as in memory (NUL after
    /// each). A failed attempt tells the path as its caller wrote it, not a walked one.
    Exec = 32 {
        /// Change time of the file, nanoseconds since the epoch.
        ctime: u64,
        /// Modification time of the file, nanoseconds since the epoch.
        mtime: u64,
        /// 0, or the negated errno.
        result: i32,
        /// See the constants.
        flags: u32,
        /// Bytes of the executable's path.
        path_len: u16,
        /// Bytes of the working directory's path.
        cwd_len: u16,
        /// Bytes of arguments.
        args_len: u16,
        /// Ancestors behind the texts.
        ancestors: u16,
    }
}

record! {
    /// A thread group was created. Texts as in [`Exec`].
    Fork = 16 {
        /// See the constants.
        flags: u32,
        /// Bytes of the executable's path.
        path_len: u16,
        /// Bytes of the working directory's path.
        cwd_len: u16,
        /// Bytes of arguments.
        args_len: u16,
        /// Ancestors behind the texts.
        ancestors: u16,
        /// Zero.
        pad: u32,
    }
}

record! {
    /// The last thread of a group ended. No texts.
    Exit = 8 {
        /// As `wait` reports it.
        status: i32,
        /// Zero.
        pad: u32,
    }
}

record! {
    /// A parent, or a parent's parent, nearest first.
    Ancestor = 64 {
        /// Start, nanoseconds since boot.
        start: u64,
        /// Thread group in the agent's PID namespace; 0 when it is outside.
        pid: u32,
        /// Zero.
        pad: u32,
        /// Name.
        comm: [u8; 16],
        /// File name of its executable, NUL-terminated; empty for none.
        exe: [u8; 32],
    }
}
