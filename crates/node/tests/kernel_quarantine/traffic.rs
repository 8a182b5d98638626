//! Streams and datagrams that flow until they are cut.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::node::{Family, Place, eventually};

/// Something sent from one end to the other all the time.
pub(crate) struct Pair {
    name: String,
    got: Arc<AtomicU64>,
    /// How often something was sent, or tried to be.
    tried: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// Ends the sender when it is dropped.
    sending: Option<SyncSender<()>>,
}

/// Between two sends.
const PAUSE: Duration = Duration::from_millis(2);

impl Pair {
    /// Between a pod and somebody: streams begun by either, sent by either, and datagrams both ways.
    pub(crate) fn all(pod: &Place, other: &Place, name: &str, family: Family) -> Vec<Self> {
        let named = |what: &str| format!("{what} {name}, {family:?}");
        let (inbound, outbound) = (stream(other, pod, family), stream(pod, other, family));
        let back = |(from, to): &(TcpStream, TcpStream)| (to.try_clone().unwrap(), from.try_clone().unwrap());
        let (against_inbound, against_outbound) = (back(&inbound), back(&outbound));
        vec![
            Self::of_stream(named("begun by"), inbound),
            Self::of_stream(named("answered to"), against_inbound),
            Self::of_stream(named("begun to"), outbound),
            Self::of_stream(named("answered by"), against_outbound),
            Self::of_datagrams(named("datagrams from"), other, pod, family),
            Self::of_datagrams(named("datagrams to"), pod, other, family),
        ]
    }

    fn of_stream(name: String, (mut from, mut to): (TcpStream, TcpStream)) -> Self {
        let mut pair = Self::new(name);
        let (got, stop) = (Arc::clone(&pair.got), Arc::clone(&pair.stop));
        to.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                if let Ok(read) = to.read(&mut buffer) {
                    got.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        });
        from.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        pair.send(move || drop(from.write(&[7; 64])));
        pair
    }

    fn of_datagrams(name: String, from: &Place, to: &Place, family: Family) -> Self {
        let mut pair = Self::new(name);
        let receiver = to.within(|| UdpSocket::bind((family.any(), 0)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let target = (address_of(to, family), receiver.local_addr().unwrap().port());
        let sender = from.within(|| UdpSocket::bind((family.any(), 0)).unwrap());
        let (got, stop) = (Arc::clone(&pair.got), Arc::clone(&pair.stop));
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stop.load(Ordering::Relaxed) {
                if let Ok(read) = receiver.recv(&mut buffer) {
                    got.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        });
        pair.send(move || drop(sender.send_to(&[7; 64], target)));
        pair
    }

    fn new(name: String) -> Self {
        Self { name, got: Arc::default(), tried: Arc::default(), stop: Arc::default(), sending: None }
    }

    /// Sends again and again until this is dropped.
    fn send(&mut self, mut one: impl FnMut() + Send + 'static) {
        let (sending, over) = sync_channel(1);
        self.sending = Some(sending);
        let tried = Arc::clone(&self.tried);
        std::thread::spawn(move || {
            while over.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                one();
                tried.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Waits until so many more were sent, or tried to be.
    fn tries(&self, more: u64) {
        let before = self.tried.load(Ordering::Relaxed);
        let tried = || self.tried.load(Ordering::Relaxed) >= before + more;
        eventually(Duration::from_secs(10), &self.name, tried);
    }

    /// Waits until bytes arrive.
    pub(crate) fn flows(&mut self) {
        let before = self.got.load(Ordering::Relaxed);
        eventually(Duration::from_secs(5), &self.name, || self.got.load(Ordering::Relaxed) > before);
    }

    /// Whatever is tried, nothing arrives: what the receiver had in its hands is counted out first.
    pub(crate) fn is_cut(&mut self) {
        self.tries(5);
        let before = self.got.load(Ordering::Relaxed);
        self.tries(20);
        assert_eq!(self.got.load(Ordering::Relaxed) - before, 0, "{}: bytes after the cut", self.name);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn stream(from: &Place, to: &Place, family: Family) -> (TcpStream, TcpStream) {
    let listener = to.within(|| TcpListener::bind((family.any(), 0)).unwrap());
    let target = (address_of(to, family), listener.local_addr().unwrap().port());
    let near = from.within(|| TcpStream::connect(target).unwrap());
    (near, listener.accept().unwrap().0)
}

/// The address others reach a place by: of its first link that is not the loopback.
fn address_of(place: &Place, family: Family) -> IpAddr {
    let probe = |to: &str| {
        let socket = UdpSocket::bind((family.any(), 0)).unwrap();
        socket.connect(to).unwrap();
        socket.local_addr().unwrap().ip()
    };
    place.within(|| match family {
        Family::V4 => probe("10.66.0.254:9"),
        Family::V6 => probe("[fd66::fe]:9"),
    })
}

/// Whether somebody answers an echo request; the kernel does, without any socket.
pub(crate) fn ping(from: &Place, to: IpAddr) -> bool {
    let done = from.within(|| {
        std::process::Command::new("busybox")
            .args(["ping", "-c", "1", "-W", "1", &to.to_string()])
            .output()
            .unwrap()
    });
    done.status.success()
}
