//! Connects and accepts.

use crate::wire::record;

record! {
    /// A socket was connected or accepted. Text: the path of a Unix socket, an abstract one with its
    /// leading NUL.
    Socket = 64 {
        /// Cookie; 0 when nobody has asked the kernel for one yet.
        cookie: u64,
        /// 0 or the new descriptor, or the negated errno.
        result: i32,
        /// The descriptor.
        fd: i32,
        /// Address family; 0 when it could not be told.
        family: u16,
        /// Transport protocol's number.
        protocol: u16,
        /// Our port.
        local_port: u16,
        /// The other end's port.
        peer_port: u16,
        /// Our address, network order; IPv4 in the first four bytes.
        local: [u8; 16],
        /// The other end's address.
        peer: [u8; 16],
        /// Bytes of the Unix path.
        unix_len: u16,
        /// Zero.
        pad: [u16; 3],
    }
}
