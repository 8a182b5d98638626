//! Which pod a process at the other end of a socket belongs to.
//!
//! The order matters: the process's cgroup is read by its number, and only afterwards the pidfd is
//! asked whether the process still lives. Had it died, and its number gone to another, the pidfd would
//! say so.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outis_model::name::{NodeName, PodUid};
use outis_model::port::{Answer, Attest, Caller, Peer, Refusal};
use outis_model::snapshot::{Pod, Snapshot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::watch;

use crate::cgroup::Anchor;

/// How long a pod nobody has told of yet is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Attests by /proc and the snapshot.
#[derive(Debug, Clone)]
pub struct Attestor {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    node: NodeName,
    proc: PathBuf,
    patience: Duration,
}

impl Attestor {
    /// For the pods of `node`.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>, node: NodeName) -> Self {
        Self { snapshots, node, proc: "/proc".into(), patience: PATIENCE }
    }

    /// Reads another proc file system, for tests.
    #[must_use]
    pub fn with_proc(self, proc: PathBuf) -> Self {
        Self { proc, ..self }
    }

    /// Waits this long for a pod that is not in the snapshot yet.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn answer(&self, peer: &Peer) -> Result<Caller, Refusal> {
        let (uid, anchor) = self.anchor(peer)?;
        let pod = self.pod(&uid).await?;
        match &pod.node {
            Some(node) if *node == self.node => Ok(Caller { pod, container: anchor.container }),
            Some(_) => Err(denied("the process's pod belongs to another node")),
            None => Err(Refusal::Unavailable("the process's pod has no node yet; ask again".into())),
        }
    }

    /// The cgroup of a process that provably was alive when it was read.
    fn anchor(&self, peer: &Peer) -> Result<(PodUid, Anchor), Refusal> {
        if peer.pid == 0 {
            return Err(denied("the process is outside of this node's PID namespace"));
        }
        let opened;
        let pidfd = match &peer.pidfd {
            Some(pidfd) => pidfd.as_fd(),
            None => {
                opened = open(peer.pid)?;
                opened.as_fd()
            }
        };
        let text = fs::read_to_string(self.proc.join(peer.pid.to_string()).join("cgroup"));
        if !alive(pidfd) {
            return Err(denied("the process has ended"));
        }
        let text =
            text.map_err(|error| Refusal::Unavailable(format!("cannot read the process's cgroup: {error}")))?;
        let outside = || denied("the process runs in no pod");
        let anchor = Anchor::of_proc(&text).ok_or_else(outside)?;
        let uid = anchor.pod.clone().ok_or_else(outside)?;
        Ok((uid, anchor))
    }

    /// The pod, waited for.
    async fn pod(&self, uid: &PodUid) -> Result<Arc<Pod>, Refusal> {
        let mut snapshots = self.snapshots.clone();
        let found = snapshots.wait_for(|snapshot| snapshot.pod_by_uid(uid).is_some());
        let unknown =
            || Refusal::Unavailable("the process's pod is not known on this node yet; ask again".into());
        match tokio::time::timeout(self.patience, found).await {
            Ok(Ok(snapshot)) => snapshot.pod_by_uid(uid).cloned().ok_or_else(unknown),
            Ok(Err(_)) | Err(_) => Err(unknown()),
        }
    }
}

impl Attest for Attestor {
    fn attest<'a>(&'a self, peer: &'a Peer) -> Answer<'a, Result<Caller, Refusal>> {
        Box::pin(self.answer(peer))
    }
}

fn denied(reason: &str) -> Refusal {
    Refusal::Denied(reason.into())
}

fn open(pid: u32) -> Result<OwnedFd, Refusal> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| denied("no such process"))?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|_| denied("the process has ended"))
}

/// A pidfd becomes readable when its process ends.
fn alive(pidfd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
}

#[cfg(test)]
mod tests;
