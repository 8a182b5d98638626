use std::process::{Child, Command, Stdio};

use super::*;
use outis_model::snapshot::Object;

const UID: &str = "0b5e3c1a-8d2f-4c6b-9a7e-1f2d3c4b5a69";

/// A process that waits, and a proc file system that tells what it is told to.
struct House {
    child: Child,
    proc: tempfile::TempDir,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.end();
    }
}

impl House {
    fn with(cgroup: &str) -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let proc = tempfile::tempdir().unwrap();
        let folder = proc.path().join(child.id().to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        Self { child, proc, snapshots: watch::channel(Arc::default()).0 }
    }

    fn in_pod() -> Self {
        Self::with(&format!("4:memory:/kubepods/burstable/pod{UID}/{}\n0::/\n", "4e".repeat(32)))
    }

    fn tell(&self, uid: &str, config_hash: Option<&str>, node: &str) {
        let mut snapshot = Snapshot::default();
        snapshot.apply(Object::Pod(Pod {
            namespace: "shop".parse().unwrap(),
            name: "web-1".parse().unwrap(),
            uid: uid.parse().unwrap(),
            config_hash: config_hash.map(|hash| hash.parse().unwrap()),
            node: Some(node.parse().unwrap()),
            service_account: "web".parse().unwrap(),
            addresses: vec![],
            host_network: false,
            labels: Default::default(),
            owner: None,
            containers: vec![],
            ready: true,
            ended: false,
        }));
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn attestor(&self) -> Attestor {
        Attestor::new(self.snapshots.subscribe(), "node-1".parse().unwrap())
            .with_proc(self.proc.path().into())
            .with_patience(Duration::from_millis(200))
    }

    fn peer(&self) -> Peer {
        Peer { pid: self.child.id(), pidfd: Some(open(self.child.id()).unwrap()) }
    }

    async fn attest(&self) -> Result<Caller, Refusal> {
        self.attestor().attest(&self.peer()).await
    }
}

#[tokio::test]
async fn a_process_is_told_by_its_pod_and_container() {
    let house = House::in_pod();
    house.tell(UID, None, "node-1");
    let caller = house.attest().await.unwrap();
    assert_eq!(caller.pod.name.as_str(), "web-1");
    assert_eq!(caller.container.unwrap().as_str(), "4e".repeat(32));
}

#[tokio::test]
async fn without_a_pidfd_one_is_opened() {
    let house = House::in_pod();
    house.tell(UID, None, "node-1");
    let peer = Peer { pid: house.child.id(), pidfd: None };
    assert!(house.attestor().attest(&peer).await.is_ok());
}

#[tokio::test]
async fn static_pods_are_found_by_their_hash() {
    let hash = "0123456789abcdef0123456789abcdef";
    let house = House::with(&format!("0::/kubepods/burstable/pod{hash}/{}\n", "4e".repeat(32)));
    house.tell(UID, Some(hash), "node-1");
    assert_eq!(house.attest().await.unwrap().pod.uid.as_str(), UID);
}

#[tokio::test]
async fn processes_of_the_node_are_denied() {
    let house = House::with("0::/system.slice/sshd.service\n");
    assert_eq!(house.attest().await, Err(denied("the process runs in no pod")));
}

#[tokio::test]
async fn a_process_outside_of_the_namespace_is_denied() {
    let peer = Peer { pid: 0, pidfd: None };
    let refusal = House::in_pod().attestor().attest(&peer).await;
    assert_eq!(refusal, Err(denied("the process is outside of this node's PID namespace")));
}

#[tokio::test]
async fn pods_of_other_nodes_are_denied() {
    let house = House::in_pod();
    house.tell(UID, None, "node-2");
    assert_eq!(house.attest().await, Err(denied("the process's pod belongs to another node")));
}

#[tokio::test]
async fn an_ended_process_is_denied_though_its_number_still_tells_a_pod() {
    let mut house = House::in_pod();
    house.tell(UID, None, "node-1");
    let peer = house.peer();
    house.end();
    assert_eq!(house.attestor().attest(&peer).await, Err(denied("the process has ended")));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_pod_is_unavailable_after_a_while() {
    let refusal = House::in_pod().attest().await;
    assert!(matches!(refusal, Err(Refusal::Unavailable(reason)) if reason.ends_with("ask again")));
}

#[tokio::test]
async fn a_pod_that_comes_late_is_waited_for() {
    let house = House::in_pod();
    let (attestor, peer) = (house.attestor().with_patience(Duration::from_secs(10)), house.peer());
    let asked = tokio::spawn(async move { attestor.attest(&peer).await });
    tokio::task::yield_now().await;
    house.tell(UID, None, "node-1");
    assert_eq!(asked.await.unwrap().unwrap().pod.uid.as_str(), UID);
}
