//! From the verdict to the first packet stopped, while more than a thousand a second go both ways; and whether any that
//! was sent after it arrived. Needs root: makes a network namespace of its own.
//!
//! Budgets: verdict to map p99 1 ms, to the first packet stopped p99 10 ms, no byte after it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark says where it stopped, and its figures"
)]

#[allow(dead_code, reason = "it is the tests' house; not all of it is needed here")]
#[path = "../tests/kernel_quarantine/node.rs"]
mod node;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use node::{Family, Node, Place, eventually};
use outis_node::{Quarantine, Target};
use rustix::time::{ClockId, clock_gettime};

const RUNS: usize = 200;
/// Between two datagrams of one direction.
const PAUSE: Duration = Duration::from_micros(500);

fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Datagrams one way; each says when it was sent.
struct Flow {
    sent: Arc<AtomicU64>,
    got: Arc<AtomicU64>,
    /// When each that arrived since the run began was sent.
    stamps: Arc<Mutex<Vec<u64>>>,
}

impl Flow {
    fn start(from: &Place, to: (&Place, std::net::IpAddr), stop: &Arc<AtomicBool>) -> Self {
        let flow = Self { sent: Arc::default(), got: Arc::default(), stamps: Arc::default() };
        let receiver = to.0.within(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        let target = (to.1, receiver.local_addr().unwrap().port());
        let sender = from.within(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (sent, over) = (Arc::clone(&flow.sent), Arc::clone(stop));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let _ = sender.send_to(&now().to_ne_bytes(), target);
                sent.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        let (got, stamps, over) = (Arc::clone(&flow.got), Arc::clone(&flow.stamps), Arc::clone(stop));
        std::thread::spawn(move || {
            let mut stamp = [0; 8];
            while !over.load(Ordering::Relaxed) {
                if receiver.recv(&mut stamp).is_ok() {
                    got.fetch_add(1, Ordering::Relaxed);
                    stamps.lock().unwrap().push(u64::from_ne_bytes(stamp));
                }
            }
        });
        flow
    }

    fn runs(&self) {
        let before = self.got.load(Ordering::Relaxed);
        eventually(Duration::from_secs(5), "datagrams arrive", || {
            self.got.load(Ordering::Relaxed) > before + 5
        });
    }
}

fn main() {
    let node = Node::new();
    let (pod, other) = (node.pod(), node.pod());
    let (mut quarantine, _) = Quarantine::open(&node.pins, "/sys/fs/cgroup".as_ref()).unwrap();
    let target = Target { pod: pod.uid.clone(), host_network: false, ports: vec![8080] };
    let stop = Arc::default();
    let flows = [
        Flow::start(&pod.place(), (&other.place(), other.address(Family::V4)), &stop),
        Flow::start(&other.place(), (&pod.place(), pod.address(Family::V4)), &stop),
    ];
    let (mut to_map, mut to_drop, mut kept, mut late) = (vec![], vec![], vec![], 0);
    let begun = Instant::now();
    for _ in 0..RUNS {
        flows.iter().for_each(|flow| flow.stamps.lock().unwrap().clear());
        quarantine.prepare().unwrap();
        flows.iter().for_each(Flow::runs);
        let verdict = now();
        let cut = quarantine.confine(&target).unwrap();
        let armed = now();
        quarantine.keep(&pod.uid).unwrap();
        kept.push(now() - armed);
        assert!(cut.cgroup && cut.link.is_some() && cut.faults.is_empty(), "{cut:?}");
        let first = || {
            let stops = quarantine.stops(&pod.uid).unwrap();
            stops.iter().map(|gate| gate.first).filter(|first| *first > 0).min()
        };
        eventually(Duration::from_secs(5), "a packet is stopped", || first().is_some());
        let first = first().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let after = |flow: &Flow| flow.stamps.lock().unwrap().iter().filter(|sent| **sent > first).count();
        late += 8 * flows.iter().map(after).sum::<usize>();
        to_map.push(armed - verdict);
        to_drop.push(first.saturating_sub(verdict));
        quarantine.release(&pod.uid).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let sent: u64 = flows.iter().map(|flow| flow.sent.load(Ordering::Relaxed)).sum();
    println!("{RUNS} quarantines, {:.0} packets/s both ways", sent as f64 / seconds);
    print("verdict to map", &mut to_map, "p99 1 ms");
    print("verdict to first packet stopped", &mut to_drop, "p99 10 ms");
    print("then kept beyond the agent", &mut kept, "none");
    println!("bytes sent after it that arrived: {late} (budget 0)");
    drop((pod, other));
}

fn print(what: &str, nanoseconds: &mut [u64], budget: &str) {
    nanoseconds.sort_unstable();
    let at =
        |part: usize| nanoseconds[(nanoseconds.len() * part / 100).min(nanoseconds.len() - 1)] as f64 / 1e6;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms (budget {budget})", at(50), at(99), at(100));
}
