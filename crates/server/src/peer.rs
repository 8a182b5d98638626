//! Who is at the other end of a Unix socket, as the kernel says.
//!
//! `SO_PEERCRED` names the process that called `connect` by number; a number can be given away again when that
//! process ends. `SO_PEERPIDFD` (Linux 6.5) gives a handle to the process itself, taken by the kernel when it
//! connected, so nothing can be mistaken. On older kernels the handle is opened by number right after the
//! connection is accepted: a process that connects, ends, and has its number given to another within those
//! microseconds would be taken for the other. Numbers are given out in rising order, so this needs a whole
//! round of the number space in that time; it cannot be excluded, and `doctor` names the kernel floor.
//!
//! A process may hand its connected socket to another. It then speaks for the one that connected, as with
//! every credential of this kind.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use outis_model::port::Peer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Why a peer cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel does not say.
    #[error("cannot read the credentials of a connected process")]
    Credentials(#[source] std::io::Error),
    /// It ended before it could be looked at.
    #[error("process {0} ended right after it connected")]
    Gone(u32),
}

/// The process at the other end.
///
/// # Errors
/// The kernel does not say, or the process is gone.
pub fn of(stream: &UnixStream) -> Result<Peer, PeerError> {
    let credentials = stream.peer_cred().map_err(PeerError::Credentials)?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let pidfd = match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(fd) => Some(fd),
        Err(Errno::ENOPROTOOPT) => by_number(pid)?,
        Err(Errno::ESRCH) => return Err(PeerError::Gone(pid)),
        // No such thing as a process of that number in our PID namespace.
        Err(_) if pid == 0 => None,
        Err(error) => return Err(PeerError::Credentials(error.into())),
    };
    let peer = Peer { pid, pidfd };
    if gone(&peer) { Err(PeerError::Gone(pid)) } else { Ok(peer) }
}

/// The handle by number, for kernels that do not give it by socket.
fn by_number(pid: u32) -> Result<Option<OwnedFd>, PeerError> {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::SRCH) => Err(PeerError::Gone(pid)),
        // Before Linux 5.3: the attester decides whether a bare number is enough for it.
        Err(rustix::io::Errno::NOSYS) => Ok(None),
        Err(error) => Err(PeerError::Credentials(error.into())),
    }
}

/// Whether the process has ended; never true without a handle.
#[must_use]
pub fn gone(peer: &Peer) -> bool {
    let Some(pidfd) = &peer.pidfd else { return false };
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(ready) if ready > 0)
}

/// Resolves when the process has ended; never without a handle.
pub async fn end(peer: &Peer) {
    let handle = peer.pidfd.as_ref().map(|pidfd| pidfd.as_fd().try_clone_to_owned());
    let watched = handle.map(|fd| fd.and_then(watch));
    match watched {
        None => std::future::pending().await,
        // Out of descriptors: the safe answer is that nobody is there.
        Some(Err(error)) => tracing::warn!(%error, pid = peer.pid, "Cannot watch a process"),
        Some(Ok(fd)) => drop(fd.readable().await),
    }
}

#[expect(deprecated, reason = "its replacement is unsafe; an owned descriptor keeps what it asks for")]
fn watch(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn our_own_end_is_ourselves() {
        let (a, _b) = UnixStream::pair().expect("pair");
        let peer = of(&a).expect("alive");
        assert_eq!(peer.pid, std::process::id());
        assert!(peer.pidfd.is_some());
        assert!(!gone(&peer));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
        let peer = Peer { pid: child.id(), pidfd: by_number(child.id()).expect("alive") };
        assert!(!gone(&peer));
        drop(child.stdin.take());
        end(&peer).await;
        assert!(gone(&peer));
        child.wait().expect("ended");
        assert!(matches!(by_number(child.id()), Err(PeerError::Gone(_))));
    }
}
