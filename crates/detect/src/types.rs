//! Event types: the system calls rules select by, as small numbers.

use outis_model::event::{Event, What};

/// The types the sensor can report, by their number.
pub(crate) const TYPES: &[&str] = &[
    "execve", "execveat", "open", "openat", "openat2", "creat", "connect", "accept", "accept4", "clone",
    "clone3", "fork", "vfork", "procexit",
];

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct TypeMask(pub(crate) u32);

pub(crate) const EXECS: TypeMask = TypeMask(0b11);
pub(crate) const FILES: TypeMask = TypeMask(0b1111 << 2);
pub(crate) const CONNECTED: TypeMask = TypeMask(1 << 6);
pub(crate) const SERVED: TypeMask = TypeMask(0b11 << 7);
pub(crate) const SOCKETS: TypeMask = CONNECTED.or(SERVED);
pub(crate) const EVERY: TypeMask = TypeMask((1 << 14) - 1);

impl TypeMask {
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// Number of a type's name.
pub(crate) fn number(name: &str) -> Option<usize> {
    TYPES.iter().position(|known| *known == name)
}

/// Number of an event's type; none for what no rule looks at.
pub(crate) fn of(event: &Event) -> Option<usize> {
    match &event.what {
        What::Exec(exec) => Some(usize::from(exec.syscall == "execveat")),
        What::Seen(_) => None,
        What::Open(open) => Some(match open.syscall.as_str() {
            "open" => 2,
            "openat2" => 4,
            "creat" => 5,
            _ => 3,
        }),
        What::Connect(_) => Some(6),
        What::Accept(socket) => Some(if socket.syscall == "accept" { 7 } else { 8 }),
        What::Fork(fork) => Some(match fork.syscall.as_str() {
            "clone3" => 10,
            "fork" => 11,
            "vfork" => 12,
            _ => 9,
        }),
        What::Exit { .. } => Some(13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_name_what_they_say() {
        let named = |mask: TypeMask| {
            (0..TYPES.len()).filter(|n| mask.has(*n)).map(|n| TYPES[n]).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(EXECS), "execve execveat");
        assert_eq!(named(FILES), "open openat openat2 creat");
        assert_eq!((named(CONNECTED), named(SERVED)), ("connect".into(), "accept accept4".into()));
        assert_eq!(EVERY.0.count_ones() as usize, TYPES.len());
        assert!(SOCKETS.0 & FILES.0 == 0 && number("connect") == Some(6) && number("dup").is_none());
    }
}
