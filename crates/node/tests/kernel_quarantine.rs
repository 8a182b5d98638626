//! A pod that is cut off, on a node of its own: real links, real cgroups, real traffic.

#![expect(clippy::unwrap_used, reason = "a test says where it stopped")]

#[path = "kernel_quarantine/node.rs"]
mod node;
#[path = "kernel_quarantine/traffic.rs"]
mod traffic;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use node::{Family, Node, Pod, connected, eventually, reaches};
use outis_node::{Quarantine, Target};
use traffic::{Pair, ping};

const PROBED: u16 = 8080;
/// Probed too, and nobody listens.
const ALSO: u16 = 8181;
const OTHER: u16 = 9090;

fn open(node: &Node) -> Quarantine {
    let (quarantine, faults) = Quarantine::open(&node.pins, "/sys/fs/cgroup".as_ref()).unwrap();
    assert_eq!(faults, Vec::<String>::new());
    quarantine
}

fn target(pod: &Pod) -> Target {
    Target { pod: pod.uid.clone(), host_network: false, ports: vec![PROBED, ALSO] }
}

/// Listens on both ports in both families, and echoes.
fn serving(pod: &Pod) {
    for port in [PROBED, OTHER] {
        let listener = pod.within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_reaches_a_confined_pod_or_leaves_it_and_its_sibling_is_untouched() {
    let node = Node::new();
    let (confined, sibling, outside) = (node.pod(), node.pod(), node.pod());
    [&confined, &sibling].into_iter().for_each(serving);
    let mut quarantine = open(&node);
    quarantine.prepare().unwrap();
    let mut pairs = Vec::new();
    for family in Family::BOTH {
        for (other, name) in
            [(sibling.place(), "a pod of the node"), (outside.place(), "outside"), (node.place(), "the node")]
        {
            pairs.extend(Pair::all(&confined.place(), &other, name, family));
        }
    }
    pairs.iter_mut().for_each(|pair| pair.flows());
    for family in Family::BOTH {
        assert!(ping(&outside.place(), confined.address(family)), "{family:?}");
    }
    let cut = quarantine.confine(&target(&confined)).unwrap();
    assert_eq!((cut.cgroup, cut.link.as_deref(), cut.faults), (true, Some(confined.link.as_str()), vec![]));
    pairs.iter_mut().for_each(|pair| pair.is_cut());
    quarantine.keep(&confined.uid).unwrap();
    pairs.iter_mut().for_each(|pair| pair.is_cut());
    for family in Family::BOTH {
        for from in [&outside.place(), &node.place(), &sibling.place()] {
            assert!(!ping(from, confined.address(family)), "{family:?}");
            assert!(!reaches(from, confined.address(family), OTHER), "{family:?}");
        }
        assert!(!ping(&confined.place(), node.address(family)), "{family:?}");
        assert!(ping(&outside.place(), sibling.address(family)), "{family:?}");
        assert!(reaches(&outside.place(), sibling.address(family), OTHER), "{family:?}");
    }
    let stops = quarantine.stops(&confined.uid).unwrap();
    assert!(
        stops.iter().any(|gate| gate.first > 0 && gate.last >= gate.first && gate.packets > 0),
        "{stops:?}"
    );
    assert!(quarantine.release(&confined.uid).unwrap());
    for family in Family::BOTH {
        let back = || {
            ping(&outside.place(), confined.address(family))
                && reaches(&confined.place(), sibling.address(family), OTHER)
        };
        eventually(Duration::from_secs(5), "it is reached again", back);
    }
    assert_eq!(std::fs::read_dir(&node.pins).unwrap().count(), 0, "no pin stays");
}

#[test]
#[ignore = "needs root"]
fn the_nodes_probes_pass_and_only_those() {
    let node = Node::new();
    let (confined, outside) = (node.pod(), node.pod());
    serving(&confined);
    let mut quarantine = open(&node);
    quarantine.confine(&target(&confined)).unwrap();
    for family in Family::BOTH {
        // Who has the address is asked anew, too.
        node.forget_neighbours();
        confined.forget_neighbours();
        let to = confined.address(family);
        assert!(reaches(&node.place(), to, PROBED), "{family:?}");
        assert!(!reaches(&node.place(), to, OTHER), "{family:?}: no probe goes there");
        assert!(!reaches(&outside.place(), to, PROBED), "{family:?}: it is not the node");
        // Whoever is hidden behind the node's address is not the node either.
        node.masquerade(true);
        assert!(!reaches(&node.beyond(), to, PROBED), "{family:?}: passed on in the node's name");
        node.masquerade(false);
        // From the probed port the pod may only answer.
        let listener = node.place().within(|| TcpListener::bind((family.any(), OTHER)).unwrap());
        assert!(!confined.within(|| connects_from(ALSO, node.address(family), OTHER)), "{family:?}");
        drop(listener);
        // What stays inside of the pod is nobody's business.
        assert!(reaches(&confined.place(), family.loopback(), OTHER), "{family:?}");
    }
    quarantine.release(&confined.uid).unwrap();
}

/// Whether a connection is made within a moment, from this port.
fn connects_from(port: u16, address: IpAddr, to: u16) -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let (family, any): (_, IpAddr) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (AddressFamily::INET6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::empty(), None).unwrap();
    bind(&socket, &SocketAddr::from((any, port))).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(Duration::from_millis(300))).unwrap();
    connect(&socket, &SocketAddr::from((address, to))).is_ok()
}

#[test]
#[ignore = "needs root"]
fn it_holds_without_the_agent_and_the_next_one_takes_it_over() {
    let node = Node::new();
    let (confined, outside) = (node.pod(), node.pod());
    serving(&confined);
    let mut quarantine = open(&node);
    quarantine.confine(&target(&confined)).unwrap();
    let v4 = confined.address(Family::V4);
    assert!(!reaches(&outside.place(), v4, OTHER));
    quarantine.keep(&confined.uid).unwrap();
    let before = quarantine.stops(&confined.uid).unwrap();
    drop(quarantine);
    assert!(!reaches(&outside.place(), v4, OTHER), "no agent runs");
    let mut quarantine = open(&node);
    assert_eq!(quarantine.pods().collect::<Vec<_>>(), [&confined.uid]);
    // Nothing is sent as long as a question for its address waits.
    let counts_on = || {
        let _ = connected(&outside.place(), v4, OTHER);
        let after = quarantine.stops(&confined.uid).unwrap();
        after[2].packets > before[2].packets && after[2].first == before[2].first
    };
    eventually(Duration::from_secs(10), "it counts on where it was", counts_on);
    // A new sandbox has a new link.
    confined.new_link();
    let cut = quarantine.confine(&target(&confined)).unwrap();
    assert_eq!((cut.link.as_deref(), cut.faults), (Some(confined.link.as_str()), vec![]));
    assert!(!ping(&outside.place(), v4), "the new link has its gates");
    quarantine.keep(&confined.uid).unwrap();
    assert!(!ping(&outside.place(), v4), "the new link has its gates");
    assert!(reaches(&node.place(), v4, PROBED), "probes pass there, too");
    // A container that starts later is one of the same pod.
    let late = confined.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let refused = late.send_to(b"x", (node.address(Family::V4), OTHER)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(quarantine.release(&confined.uid).unwrap());
    assert!(!quarantine.release(&confined.uid).unwrap(), "it is free");
    // Whoever asked for its address while it was cut off asks again after a while.
    let back = || connected(&outside.place(), v4, OTHER).is_some();
    eventually(Duration::from_secs(5), "it is reached again", back);
}

#[test]
#[ignore = "needs root"]
fn a_pod_on_the_nodes_network_is_cut_without_touching_the_node() {
    let node = Node::new();
    let (hosted, outside) = (node.hosted(), node.pod());
    let listener = hosted.within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, OTHER)).unwrap());
    let probed = hosted.within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PROBED)).unwrap());
    let nodes = node.place().within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 7070)).unwrap());
    let mut quarantine = open(&node);
    let target = Target { host_network: true, ..target(&hosted) };
    let cut = quarantine.confine(&target).unwrap();
    assert_eq!((cut.cgroup, cut.link, cut.faults), (true, None, vec![]));
    for family in Family::BOTH {
        let address = node.address(family);
        assert!(connected(&outside.place(), address, OTHER).is_none(), "{family:?}");
        assert!(connected(&node.place(), address, OTHER).is_none(), "{family:?}");
        assert!(connected(&node.place(), address, PROBED).is_some(), "{family:?}: kubelet probes it");
        assert!(connected(&outside.place(), address, 7070).is_some(), "{family:?}: the node's own");
        assert!(connected(&node.place(), outside.address(family), OTHER).is_none(), "nobody listens there");
        let out = hosted.within(|| UdpSocket::bind((family.any(), 0)).unwrap());
        assert!(out.send_to(b"x", (outside.address(family), 9)).is_err(), "{family:?}");
    }
    quarantine.release(&hosted.uid).unwrap();
    assert!(connected(&outside.place(), node.address(Family::V4), OTHER).is_some());
    drop((listener, probed, nodes));
}

#[test]
#[ignore = "needs root"]
fn a_pod_that_is_not_here_is_told() {
    let node = Node::new();
    let mut quarantine = open(&node);
    let target = Target {
        pod: "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().unwrap(),
        host_network: false,
        ports: vec![],
    };
    let told = quarantine.confine(&target).unwrap_err();
    let why = std::error::Error::source(&told).unwrap().to_string();
    assert!(why.contains("its cgroup is not found"), "{told}: {why}");
    assert_eq!(std::fs::read_dir(&node.pins).unwrap().count(), 0);
}
