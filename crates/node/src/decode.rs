//! Bytes from a ring into events. Any bytes may come in; none make it panic.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use outis_abi::{self as abi, Head, Kind};
use outis_model::event::{Ancestor, Event, Exec, Fork, Open, Place, Socket, Task, Transport, What};

mod path;
pub(crate) use path::{absolute, walked};

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than its own lengths say.
    #[error("a record is cut short")]
    Cut,
    /// Written by other programs than this binary's.
    #[error("a record has version {found}; this build reads {}", abi::VERSION)]
    Version {
        /// Its version.
        found: u16,
    },
    /// Not a kind we know.
    #[error("a record has the unknown kind {0}")]
    Kind(u16),
}

/// What the kernel's clock reads when the wall clock reads what.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: Timestamp,
}

impl Clock {
    /// A clock for a machine that started at this instant.
    #[must_use]
    pub fn started_at(boot: Timestamp) -> Self {
        Self { boot }
    }

    /// This machine's; read again now and then, for wall clocks are set.
    #[must_use]
    pub fn now() -> Self {
        let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let up = SignedDuration::new(read.tv_sec, i32::try_from(read.tv_nsec).unwrap_or(0));
        Self { boot: Timestamp::now().checked_sub(up).unwrap_or(Timestamp::UNIX_EPOCH) }
    }

    /// A kernel stamp as wall-clock time.
    #[must_use]
    pub fn time(&self, stamp: u64) -> Timestamp {
        self.boot.checked_add(Duration::from_nanos(stamp)).unwrap_or(self.boot)
    }
}

/// A decoded record whose place is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The event, with `Place::Host` for now.
    pub event: Event,
    /// Id of the task's cgroup.
    pub cgroup: u64,
    /// Path of it.
    pub cgroup_path: String,
}

/// Decodes one record.
///
/// # Errors
/// When the bytes are not a record of this build.
pub fn decode(bytes: &[u8], clock: &Clock) -> Result<Decoded, DecodeError> {
    let (head, body) = Head::read(bytes).ok_or(DecodeError::Cut)?;
    if head.version != abi::VERSION {
        return Err(DecodeError::Version { found: head.version });
    }
    let kind = Kind::try_from(head.kind).map_err(DecodeError::Kind)?;
    let (what, mut texts) = match kind {
        Kind::Exec => exec(&head, body)?,
        Kind::Fork => fork(body)?,
        Kind::Exit => exit(body)?,
        Kind::Open => open(&head, body)?,
        Kind::Connect => socket(&head, body, What::Connect)?,
        Kind::Accept => socket(&head, body, What::Accept)?,
    };
    let cgroup_path = walked(texts.take(head.cgroup_len)?);
    let event = Event {
        stamp: head.stamp,
        time: clock.time(head.stamp),
        number: head.number,
        task: task(&head),
        place: Place::Host,
        what,
    };
    Ok(Decoded { event, cgroup: head.cgroup, cgroup_path })
}

fn task(head: &Head) -> Task {
    Task {
        pid: head.pid,
        tid: head.tid,
        vpid: head.vpid,
        ppid: head.ppid,
        start: head.start,
        uid: head.uid,
        gid: head.gid,
        loginuid: head.loginuid,
        tty: head.tty,
        cap_effective: head.cap_effective,
        comm: text(&head.comm),
    }
}

/// Text up to its NUL.
fn text(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// The bytes behind a body.
struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    fn take(&mut self, len: u16) -> Result<&'a [u8], DecodeError> {
        let (piece, rest) = self.0.split_at_checked(len.into()).ok_or(DecodeError::Cut)?;
        self.0 = rest;
        Ok(piece)
    }

    fn ancestors(&mut self, count: u16) -> Result<Vec<Ancestor>, DecodeError> {
        let mut ancestors = Vec::new();
        for _ in 0..count {
            let (one, rest) = abi::Ancestor::read(self.0).ok_or(DecodeError::Cut)?;
            self.0 = rest;
            let exe = Some(text(&one.exe)).filter(|name| !name.is_empty());
            ancestors.push(Ancestor { pid: one.pid, start: one.start, comm: text(&one.comm), exe });
        }
        Ok(ancestors)
    }
}

/// Arguments as they lie in memory: a NUL behind each.
pub(crate) fn arguments(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return vec![];
    }
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(|one| String::from_utf8_lossy(one).into_owned()).collect()
}

type Body<'a> = Result<(What, Texts<'a>), DecodeError>;

fn exec<'a>(head: &Head, body: &'a [u8]) -> Body<'a> {
    let (exec, rest) = abi::Exec::read(body).ok_or(DecodeError::Cut)?;
    let mut texts = Texts(rest);
    let path = texts.take(exec.path_len)?;
    let cwd = walked(texts.take(exec.cwd_len)?);
    let exec = Exec {
        syscall: syscall(head, Kind::Exec).into(),
        result: exec.result,
        // A failed attempt has no file; its path is what the caller wrote.
        exe_path: if exec.result < 0 { absolute(&cwd, &text(path)) } else { walked(path) },
        args: arguments(texts.take(exec.args_len)?),
        cut: exec.flags & abi::CUT != 0,
        cwd,
        upper_layer: exec.flags & abi::UPPER_LAYER != 0,
        memfd: exec.flags & abi::MEMFD != 0,
        exe_ctime: exec.ctime,
        exe_mtime: exec.mtime,
        ancestors: texts.ancestors(exec.ancestors)?,
    };
    Ok((What::Exec(Box::new(exec)), texts))
}

fn fork(body: &[u8]) -> Body<'_> {
    let (fork, rest) = abi::Fork::read(body).ok_or(DecodeError::Cut)?;
    let mut texts = Texts(rest);
    let exe_path = walked(texts.take(fork.path_len)?);
    let cwd = walked(texts.take(fork.cwd_len)?);
    let fork = Fork {
        syscall: "fork".into(),
        exe_path,
        cwd,
        args: arguments(texts.take(fork.args_len)?),
        cut: fork.flags & abi::CUT != 0,
        ancestors: texts.ancestors(fork.ancestors)?,
    };
    Ok((What::Fork(Box::new(fork)), texts))
}

fn exit(body: &[u8]) -> Body<'_> {
    let (exit, rest) = abi::Exit::read(body).ok_or(DecodeError::Cut)?;
    Ok((What::Exit { status: exit.status }, Texts(rest)))
}

fn open<'a>(head: &Head, body: &'a [u8]) -> Body<'a> {
    let (open, rest) = abi::Open::read(body).ok_or(DecodeError::Cut)?;
    let mut texts = Texts(rest);
    let raw = text(texts.take(open.raw_len)?);
    let found = walked(texts.take(open.path_len)?);
    let cwd = walked(texts.take(open.cwd_len)?);
    let path = match (open.result >= 0 && !found.is_empty(), found.is_empty()) {
        (true, _) => found,
        (false, true) => absolute(&cwd, &raw),
        (false, false) => absolute(&found, &raw),
    };
    let syscall = syscall(head, Kind::Open).into();
    let (result, dirfd, flags, mode) = (open.result, open.dirfd, open.flags, open.mode);
    Ok((What::Open(Box::new(Open { syscall, result, dirfd, raw, path, flags, mode, cwd })), texts))
}

const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

fn socket<'a>(head: &Head, body: &'a [u8], what: fn(Box<Socket>) -> What) -> Body<'a> {
    let (socket, rest) = abi::Socket::read(body).ok_or(DecodeError::Cut)?;
    let mut texts = Texts(rest);
    let path = texts.take(socket.unix_len)?;
    let kind = if head.kind == Kind::Accept as u16 { Kind::Accept } else { Kind::Connect };
    let decoded = Socket {
        syscall: syscall(head, kind).into(),
        fd: socket.fd,
        result: socket.result,
        transport: match (socket.family, socket.protocol) {
            (0 | UNIX, _) => Transport::Unknown,
            (_, 6) => Transport::Tcp,
            (_, 17) => Transport::Udp,
            (_, other) => Transport::Other(other),
        },
        local: end(socket.family, socket.local, socket.local_port),
        peer: end(socket.family, socket.peer, socket.peer_port),
        unix: (socket.family == UNIX && !path.is_empty()).then(|| unix(path)),
        cookie: socket.cookie,
    };
    Ok((what(Box::new(decoded)), texts))
}

/// One end; `None` while it is not bound. A mapped IPv4 address is told as what it is.
fn end(family: u16, address: [u8; 16], port: u16) -> Option<SocketAddr> {
    let ip = match family {
        INET => IpAddr::from([address[0], address[1], address[2], address[3]]),
        INET6 => Ipv6Addr::from(address).to_canonical(),
        _ => return None,
    };
    (port != 0 || !ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
}

fn unix(path: &[u8]) -> String {
    match path.split_first() {
        // An abstract name may hold anything; NULs are shown as `@` as `ss` does.
        Some((0, name)) => {
            format!("@{}", String::from_utf8_lossy(name).trim_end_matches('\0').replace('\0', "@"))
        }
        _ => text(path),
    }
}

/// The syscall a record's number stands for on this architecture.
fn syscall(head: &Head, kind: Kind) -> &'static str {
    #[cfg(target_arch = "x86_64")]
    let (open, creat, openat2, execveat, accept4) = (2, 85, 437, 322, 288);
    #[cfg(not(target_arch = "x86_64"))]
    let (open, creat, openat2, execveat, accept4) = (u16::MAX, u16::MAX, 437, 281, 242);
    let number = head.syscall;
    match kind {
        Kind::Exec if number == execveat => "execveat",
        Kind::Exec => "execve",
        Kind::Open if number == open => "open",
        Kind::Open if number == creat => "creat",
        Kind::Open if number == openat2 => "openat2",
        Kind::Open => "openat",
        Kind::Connect => "connect",
        Kind::Accept if number == accept4 => "accept4",
        Kind::Accept => "accept",
        Kind::Fork | Kind::Exit => "",
    }
}

#[cfg(test)]
mod tests;
