//! How a walked path ends: the byte behind its last element.

/// It reached the root the task sees.
pub const ROOT: u8 = b'/';
/// The file has no place in any tree: a memfd, a pipe, a socket. Its name is the only element.
pub const PSEUDO: u8 = b'p';
/// It was too deep or too long; its first elements are missing.
pub const CUT: u8 = b'?';

/// Elements of a path at most.
pub const DEPTH: usize = 48;
