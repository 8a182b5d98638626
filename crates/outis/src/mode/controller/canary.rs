//! The canary's other end: tries every ready webhook pod, and tells the owner what answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use outis_cluster::manifests::{CANARY_DENIED, CANARY_OPEN, COMPONENT, PART_OF};
use outis_model::input::Probe;
use outis_model::snapshot::Pod;
use outis_model::{Input, Name, Namespace, NodeName, Snapshot};
use outis_server::canary::reach;
use tokio::time::MissedTickBehavior;

use super::house::House;

/// Between two looks: a verdict takes three, and must be there within a minute.
const EVERY: Duration = Duration::from_secs(15);
/// What a port may take to answer. A packet that is dropped is never answered.
const PATIENCE: Duration = Duration::from_secs(2);
/// Addresses tried at a time.
const AT_ONCE: usize = 32;

/// The ports that are tried.
#[derive(Debug, Clone, Copy)]
struct Ports {
    open: u16,
    denied: u16,
}

/// Looks for ever.
pub(super) async fn looking(house: Arc<House>) {
    let ports = Ports { open: CANARY_OPEN, denied: CANARY_DENIED };
    // Pods that were not seen yet would read as nodes without one.
    if house.world.clone().wait_for(|world| world.synced()).await.is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let targets = targets(&house.world().snapshot, &house.home);
        house.tell(Input::Probed(look(targets, ports, PATIENCE).await));
    }
}

/// One address of one pod.
struct Target {
    node: NodeName,
    pod: Name,
    address: IpAddr,
}

/// Every address of every ready webhook pod.
fn targets(snapshot: &Snapshot, home: &Namespace) -> Vec<Target> {
    let of_pod = |pod: &Arc<Pod>| -> Vec<Target> {
        let Some(node) = pod.node.as_ref().filter(|_| webhook(pod, home)) else { return vec![] };
        let one = |address: &IpAddr| Target { node: node.clone(), pod: pod.name.clone(), address: *address };
        pod.addresses.iter().map(one).collect()
    };
    snapshot.pods().flat_map(of_pod).collect()
}

/// Tries both ports of each.
async fn look(targets: Vec<Target>, ports: Ports, patience: Duration) -> Vec<Probe> {
    let asked = targets.into_iter().map(|Target { node, pod, address }| async move {
        let at = |port| reach(SocketAddr::new(address, port), patience);
        let (open, denied) = tokio::join!(at(ports.open), at(ports.denied));
        Probe { node, pod, address, open, denied }
    });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

fn webhook(pod: &Pod, home: &Namespace) -> bool {
    let labelled = |key: &str, value: &str| pod.labels.get(key).is_some_and(|found| found == value);
    // No policy applies to a pod in its node's network.
    let ours = &pod.namespace == home && pod.ready && !pod.ended && !pod.host_network;
    ours && labelled(PART_OF, "outis") && labelled(COMPONENT, "webhook")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use outis_model::input::Reach;
    use outis_model::snapshot::Object;
    use outis_server::{canary, http};

    use super::*;

    const HOME: &str = "outis-system";

    fn home() -> Namespace {
        HOME.parse().expect("name")
    }

    /// A ready webhook pod at both loopback addresses, changed.
    fn snapshot(change: impl FnOnce(&mut Pod)) -> Snapshot {
        let mut pod = Pod {
            namespace: home(),
            name: "outis-webhook-a".parse().expect("name"),
            uid: "u-1".parse().expect("uid"),
            config_hash: None,
            node: Some("n1".parse().expect("name")),
            service_account: "outis-webhook".parse().expect("name"),
            addresses: ["127.0.0.1", "::1"].map(|ip| ip.parse().expect("ip")).to_vec(),
            host_network: false,
            labels: BTreeMap::from([(PART_OF.into(), "outis".into()), (COMPONENT.into(), "webhook".into())]),
            owner: None,
            containers: vec![],
            ready: true,
            ended: false,
        };
        change(&mut pod);
        let mut snapshot = Snapshot::default();
        snapshot.apply(Object::Pod(pod));
        snapshot
    }

    /// A listener on both families; `answers` says whether a canary is behind it.
    async fn port(answers: bool) -> (u16, Option<tokio::net::TcpListener>) {
        let listener = http::bind("[::]:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        if !answers {
            return (port, Some(listener));
        }
        tokio::spawn(canary::serve(listener, std::future::pending()));
        (port, None)
    }

    async fn tried(open: bool, denied: bool) -> Vec<Probe> {
        // Kept bound: a port that accepts and never answers is what a dropped packet looks like.
        let (open, denied) = (port(open).await, port(denied).await);
        let ports = Ports { open: open.0, denied: denied.0 };
        look(targets(&snapshot(|_| {}), &home()), ports, Duration::from_millis(300)).await
    }

    #[tokio::test]
    async fn both_ports_of_both_families_are_tried() {
        for (open, denied) in [(true, true), (true, false), (false, true)] {
            let probes = tried(open, denied).await;
            let shown: Vec<_> = probes.iter().map(|probe| probe.address.to_string()).collect();
            assert_eq!(shown, ["127.0.0.1", "::1"]);
            for probe in &probes {
                let answered = |reach: &Reach| *reach == Reach::Answered;
                assert_eq!((answered(&probe.open), answered(&probe.denied)), (open, denied), "{probe:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_port_nobody_listens_on_is_told_with_its_fault() {
        let (port, listener) = port(false).await;
        drop(listener);
        let ports = Ports { open: port, denied: port };
        let probes = look(targets(&snapshot(|_| {}), &home()), ports, Duration::from_secs(5)).await;
        let Reach::Silent(why) = &probes[0].open else { panic!("{probes:?}") };
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn only_ready_webhook_pods_of_ours_are_tried() {
        let changes: [fn(&mut Pod); 6] = [
            |pod| pod.ready = false,
            |pod| pod.ended = true,
            |pod| pod.host_network = true,
            |pod| pod.node = None,
            |pod| pod.namespace = "other".parse().expect("name"),
            |pod| drop(pod.labels.insert(COMPONENT.into(), "agent".into())),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert!(targets(&snapshot(change), &home()).is_empty(), "change {number}");
        }
    }
}
