//! Which pod a process belongs to, proved by the kernel: pidfd, then `/proc/<pid>/cgroup`, then the pidfd again. A
//! process that ended in between could have left its id to another; then nothing that was read counts.

use std::sync::Arc;
use std::time::Duration;

use outis_model::NodeName;
use outis_model::port::{Answer, Attest, Caller, Peer, Refusal};
use outis_model::snapshot::{Pod, Snapshot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use crate::cgroup::{Said, Slot, said};

/// How long a pod that the API server has not told us of yet is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Attests processes of this node.
pub struct Attestor {
    node: NodeName,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Attestor {
    /// For a node, over the pods the API server places on it.
    #[must_use]
    pub fn new(node: NodeName, snapshot: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { node, snapshot }
    }

    async fn caller(&self, peer: &Peer) -> Result<Caller, Refusal> {
        let slot = read(peer)?;
        let mut snapshot = self.snapshot.clone();
        let known = snapshot.wait_for(|snapshot| snapshot.pod_by_uid(&slot.pod).is_some());
        let waited = tokio::time::timeout(PATIENCE, known).await;
        let pod = match waited {
            Ok(Ok(snapshot)) => snapshot.pod_by_uid(&slot.pod).cloned(),
            _ => None,
        };
        let pod = pod.ok_or_else(|| {
            Refusal::Unavailable(format!("pod {} is not in the agent's view yet; ask again", slot.pod))
        })?;
        self.fits(&pod)?;
        Ok(Caller { pod, container: slot.container })
    }

    fn fits(&self, pod: &Pod) -> Result<(), Refusal> {
        if pod.node.as_ref() != Some(&self.node) {
            return Err(Refusal::Denied("the pod is not of this node".into()));
        }
        if pod.ended {
            return Err(Refusal::Denied("the pod has ended".into()));
        }
        Ok(())
    }
}

impl Attest for Attestor {
    fn attest<'a>(&'a self, peer: &'a Peer) -> Answer<'a, Result<Caller, Refusal>> {
        Box::pin(self.caller(peer))
    }
}

/// Where the kernel puts the process.
fn read(peer: &Peer) -> Result<Slot, Refusal> {
    if peer.pid == 0 {
        return Err(Refusal::Denied("the process is outside of this node".into()));
    }
    let path = format!("/proc/{}/cgroup", peer.pid);
    let text = std::fs::read_to_string(&path);
    // Looked at after the reading: only a process that still lives was surely the one that was read.
    if !lives(peer) {
        return Err(Refusal::Denied("the process ended while it was looked at".into()));
    }
    let text =
        text.map_err(|error| Refusal::Unavailable(format!("cannot read the process's cgroup: {error}")))?;
    match said(&text) {
        Said::Pod(slot) => Ok(slot),
        Said::Host => Err(Refusal::Denied("the process is in no pod; identities are for pods alone".into())),
        Said::Contradiction => Err(Refusal::Denied("the process's cgroups name different pods".into())),
    }
}

/// Whether the pidfd's process runs. Without a pidfd nobody can tell.
fn lives(peer: &Peer) -> bool {
    let Some(fd) = &peer.pidfd else { return false };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready == 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn peer(pid: u32) -> Peer {
        let id = Pid::from_raw(pid.cast_signed()).expect("a pid");
        Peer { pid, pidfd: Some(pidfd_open(id, PidfdFlags::empty()).expect("a pidfd")) }
    }

    fn attestor() -> Attestor {
        let (sender, receiver) = watch::channel(Arc::new(Snapshot::default()));
        // The last state stays readable without its sender.
        drop(sender);
        Attestor::new("n1".parse().expect("name"), receiver)
    }

    #[tokio::test]
    async fn a_host_process_gets_nothing() {
        let refused = attestor().attest(&peer(std::process::id())).await.expect_err("refused");
        assert!(matches!(&refused, Refusal::Denied(why) if why.contains("in no pod")), "{refused}");
    }

    #[tokio::test]
    async fn a_process_that_has_ended_gets_nothing_whoever_has_its_id_now() {
        let mut child = Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().expect("started");
        let mut peer = peer(child.id());
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // The id may name somebody else by now: ourselves, say.
        peer.pid = std::process::id();
        let refused = attestor().attest(&peer).await.expect_err("refused");
        assert_eq!(refused, Refusal::Denied("the process ended while it was looked at".into()));
    }

    #[tokio::test]
    async fn a_process_of_nowhere_and_one_without_a_pidfd_get_nothing() {
        let refused = attestor().attest(&Peer { pid: 0, pidfd: None }).await.expect_err("refused");
        assert!(refused.to_string().contains("outside of this node"));
        let refused = attestor().attest(&Peer { pid: std::process::id(), pidfd: None }).await;
        assert!(matches!(refused, Err(Refusal::Denied(_))));
    }
}
