//! Opens, and the bound on every record.

use crate::wire::record;

/// Bytes of the longest record; a power of two.
pub const RECORD: usize = 16384;

record! {
    /// A file was opened. Texts: the path as the caller wrote it, the path walked from the file itself
    /// (for a failed attempt: from the directory descriptor it was relative to, if any), the working
    /// directory.
    Open = 24 {
        /// The descriptor, or the negated errno.
        result: i32,
        /// Directory the caller's path is relative to.
        dirfd: i32,
        /// Open flags.
        flags: u32,
        /// Creation mode.
        mode: u32,
        /// Bytes of the caller's path.
        raw_len: u16,
        /// Bytes of the walked path.
        path_len: u16,
        /// Bytes of the working directory's path.
        cwd_len: u16,
        /// Zero.
        pad: u16,
    }
}
