//! What the kernel said, decoded and attributed to a pod. One event concerns one thread group (its
//! subject) and needs no other event to be understood, except for the arguments of a process, which
//! its `Exec`, `Fork` or `Seen` event carries and the detection engine keeps.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{ContainerId, Name, Namespace, NodeName, PodUid, ServiceAccount};

/// One event. Paths and arguments are lossy UTF-8 of what the kernel held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Kernel stamp: nanoseconds since boot (CLOCK_BOOTTIME).
    pub stamp: u64,
    /// The same instant as wall-clock time.
    pub time: Timestamp,
    /// Sequence number within its ring, for counting loss.
    pub number: u64,
    /// The task that did it.
    pub task: Task,
    /// The container the task runs in; `Host` for none, `Unknown` while nobody can tell.
    pub place: Place,
    /// What it did.
    pub what: What,
}

/// The acting task at the time of the event. Ids are those of the node's own PID namespace where
/// it has one, else the kernel's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Task {
    /// Thread group: what people call the process id.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The process id as the container sees it.
    pub vpid: u32,
    /// Parent thread group; 0 for none.
    pub ppid: u32,
    /// Start of the thread group: nanoseconds since boot. With `pid` the identity of a process.
    pub start: u64,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Login uid; `u32::MAX` when unset.
    pub loginuid: u32,
    /// Controlling terminal, as major << 8 | minor in the kernel's encoding; 0 for none.
    pub tty: u32,
    /// Effective capabilities as a bit set.
    pub cap_effective: u64,
    /// Task name, 15 bytes at most.
    pub comm: String,
}

/// Where a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// On the node itself, in no container.
    Host,
    /// In a container we know.
    Container(Arc<Workload>),
    /// Nobody could tell within the bounded wait; the text says why.
    Unknown(String),
}

/// A container with what the API and the runtime say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The runtime's id.
    pub container: ContainerId,
    /// The container's name in the pod; absent for a sandbox or a container Kubernetes does not know.
    pub container_name: Option<String>,
    /// The image as written, without tag and digest.
    pub image_repository: Option<String>,
    /// The image's tag.
    pub image_tag: Option<String>,
    /// `securityContext.privileged` of the container.
    pub privileged: bool,
    /// The pod; absent for a container that is no pod's.
    pub pod: Option<PodRef>,
    /// When the container started, nanoseconds since boot; 0 when unknown.
    pub start: u64,
}

/// A pod by all the names it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRef {
    /// Namespace.
    pub namespace: Namespace,
    /// Name.
    pub name: Name,
    /// UID as the API server gave it.
    pub uid: PodUid,
    /// Its service account.
    pub service_account: ServiceAccount,
    /// Its node.
    pub node: NodeName,
}

/// An ancestor, copied in the kernel when the event happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Thread group.
    pub pid: u32,
    /// Start: nanoseconds since boot.
    pub start: u64,
    /// Task name.
    pub comm: String,
    /// File name of the executable (last path element), when it could be read.
    pub exe: Option<String>,
}

/// The closed list of what we look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A program was executed (`execve`, `execveat`), or the attempt failed.
    Exec(Box<Exec>),
    /// A process that ran before us was found; never matched by rules, only remembered.
    Seen(Box<Exec>),
    /// A process was created. `Event::task` is the **child**.
    Fork(Box<Fork>),
    /// The last thread of the process ended.
    Exit {
        /// Exit status as `wait` reports it.
        status: i32,
    },
    /// A file was opened, or the attempt failed.
    Open(Box<Open>),
    /// A socket was connected, or the attempt failed.
    Connect(Box<Socket>),
    /// A connection was accepted.
    Accept(Box<Socket>),
}

/// An executed program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exec {
    /// `execve` or `execveat`.
    pub syscall: String,
    /// 0, or the negated errno of a failed attempt.
    pub result: i32,
    /// Resolved absolute path of the executable in the container's view.
    pub exe_path: String,
    /// Arguments from `argv[0]`; cut at 4 KiB.
    pub args: Vec<String>,
    /// Whether `args` were cut.
    pub cut: bool,
    /// Working directory.
    pub cwd: String,
    /// The file lies in an overlayfs upper layer: it is not part of the image.
    pub upper_layer: bool,
    /// The file is a memfd: it has no path at all.
    pub memfd: bool,
    /// Inode's change time, nanoseconds since the epoch.
    pub exe_ctime: u64,
    /// Inode's modification time, nanoseconds since the epoch.
    pub exe_mtime: u64,
    /// Parents, nearest first, 8 at most.
    pub ancestors: Vec<Ancestor>,
}

/// A created process, told in its parent's context.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fork {
    /// The syscall, or `fork` when only the scheduler event was seen.
    pub syscall: String,
    /// The parent's executable path (the child still runs it).
    pub exe_path: String,
    /// The parent's arguments; cut at 1 KiB.
    pub args: Vec<String>,
    /// Whether `args` were cut.
    pub cut: bool,
    /// Working directory.
    pub cwd: String,
    /// Parents, nearest first, 8 at most.
    pub ancestors: Vec<Ancestor>,
}

/// An open attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    /// `open`, `openat`, `openat2` or `creat`.
    pub syscall: String,
    /// The new descriptor, or the negated errno.
    pub result: i32,
    /// Directory descriptor the raw path is relative to; -100 is AT_FDCWD.
    pub dirfd: i32,
    /// The path as the caller wrote it.
    pub raw: String,
    /// Resolved absolute path from the file itself when it was opened, else joined from cwd and `raw`.
    pub path: String,
    /// Open flags in the kernel's bits.
    pub flags: u32,
    /// Creation mode.
    pub mode: u32,
    /// Working directory.
    pub cwd: String,
}

/// The transport under a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Raw, packet or anything else, by its protocol number.
    Other(u16),
    /// Not known.
    #[default]
    Unknown,
}

/// A connect or accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `connect`, `accept` or `accept4`.
    pub syscall: String,
    /// The descriptor (accept: the new one).
    pub fd: i32,
    /// 0 (accept: the new descriptor), or the negated errno; -115 is EINPROGRESS.
    pub result: i32,
    /// Transport.
    pub transport: Transport,
    /// Our end, when bound.
    pub local: Option<SocketAddr>,
    /// The other end; for a Unix socket none.
    pub peer: Option<SocketAddr>,
    /// Path of a Unix socket; abstract names start with `@`.
    pub unix: Option<String>,
    /// Socket cookie: identifies the socket for its life.
    pub cookie: u64,
}

impl Socket {
    /// The other end's address.
    #[must_use]
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }
}

impl Place {
    /// The workload, when the task is in a known container.
    #[must_use]
    pub fn workload(&self) -> Option<&Arc<Workload>> {
        match self {
            Self::Container(workload) => Some(workload),
            Self::Host | Self::Unknown(_) => None,
        }
    }

    /// The pod, when the task is in one.
    #[must_use]
    pub fn pod(&self) -> Option<&PodRef> {
        self.workload().and_then(|workload| workload.pod.as_ref())
    }
}
