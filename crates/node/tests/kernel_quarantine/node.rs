//! A node of its own: a network namespace with a bridge, pods on links of it and in cgroups, a bpffs. All of it goes
//! with the test.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outis_model::name::PodUid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A thread that is in a cgroup takes its whole process along: one at a time.
static MOVING: Mutex<()> = Mutex::new(());
static NUMBERS: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    fn host(self, number: u32) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 66, 0, number as u8).into(),
            Self::V6 => Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, number as u16).into(),
        }
    }
}

/// A process that does nothing, in a network namespace of its own or its parent's; ended with this value.
struct Process(Child);

impl Process {
    fn start(command: &[&str]) -> Self {
        Self(Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where sockets are made: in whose network and in which cgroup.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    network: u32,
    cgroup: Option<PathBuf>,
}

impl Place {
    /// Does something there. Sockets stay where they were made.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
        let root = version_2();
        let before = own_cgroup();
        if let Some(cgroup) = &self.cgroup {
            join(cgroup, std::process::id());
        }
        let done = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(self.network);
                    work()
                })
                .join()
                .unwrap()
        });
        if self.cgroup.is_some() {
            join(&root.join(before.trim_start_matches('/')), std::process::id());
        }
        done
    }
}

fn own_cgroup() -> String {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned()
}

fn enter(process: u32) {
    let file = fs::File::open(format!("/proc/{process}/ns/net")).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn join(cgroup: &Path, process: u32) {
    fs::write(cgroup.join("cgroup.procs"), process.to_string()).unwrap();
}

fn version_2() -> PathBuf {
    let unified = PathBuf::from("/sys/fs/cgroup/unified");
    if unified.join("cgroup.procs").exists() { unified } else { "/sys/fs/cgroup".into() }
}

pub(crate) struct Node {
    pub(crate) pins: PathBuf,
    cgroups: PathBuf,
    process: Process,
    beyond: Process,
    _dir: tempfile::TempDir,
    next: AtomicU32,
}

pub(crate) struct Pod {
    pub(crate) uid: PodUid,
    pub(crate) link: String,
    number: u32,
    node: u32,
    cgroup: PathBuf,
    process: Process,
    hosted: bool,
}

impl Node {
    /// Its thread is the caller's from now on.
    pub(crate) fn new() -> Self {
        let process = Process::start(&["unshare", "-n", "sleep", "600"]);
        settled(process.0.id());
        enter(process.0.id());
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let cgroups = version_2().join(format!("outis-test-{}-{number}", std::process::id()));
        fs::create_dir_all(cgroups.join("kubepods/burstable")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        rustix::mount::mount("bpf", dir.path(), "bpf", rustix::mount::MountFlags::empty(), None).unwrap();
        let pins = dir.path().join("quarantine");
        ip("link set lo up");
        ip("link add bridge type bridge");
        ip("link set bridge up");
        for family in Family::BOTH {
            ip(&format!("addr add {} dev bridge {}", on_link(family, 1), nodad(family)));
        }
        // Somebody beyond the node, whom it passes on.
        let beyond = Process::start(&["unshare", "-n", "sleep", "600"]);
        settled(beyond.0.id());
        for file in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            fs::write(file, "1").unwrap();
        }
        ip(&format!("link add uplink type veth peer name eth0 netns {}", beyond.0.id()));
        ip("link set uplink up");
        ip("addr add 10.77.0.1/24 dev uplink");
        ip("addr add fd77::1/64 dev uplink nodad");
        let there = Place { network: beyond.0.id(), cgroup: None };
        there.within(|| {
            ip("link set eth0 up");
            ip("addr add 10.77.0.2/24 dev eth0");
            ip("addr add fd77::2/64 dev eth0 nodad");
            ip("route add default via 10.77.0.1");
            ip("route add default via fd77::1");
        });
        Self { pins, cgroups, process, beyond, _dir: dir, next: AtomicU32::new(2) }
    }

    pub(crate) fn place(&self) -> Place {
        Place { network: self.process.0.id(), cgroup: None }
    }

    pub(crate) fn beyond(&self) -> Place {
        Place { network: self.beyond.0.id(), cgroup: None }
    }

    pub(crate) fn address(&self, family: Family) -> IpAddr {
        family.host(1)
    }

    /// A pod on a link of its own.
    pub(crate) fn pod(&self) -> Pod {
        self.make(false)
    }

    /// A pod on the node's network.
    pub(crate) fn hosted(&self) -> Pod {
        self.make(true)
    }

    fn make(&self, hosted: bool) -> Pod {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let uid: PodUid = format!("00000000-0000-4000-8000-{:06}{number:06}", std::process::id() % 1_000_000)
            .parse()
            .unwrap();
        let cgroup = self.cgroups.join(format!("kubepods/burstable/pod{uid}"));
        let container = cgroup.join("ab".repeat(32));
        fs::create_dir_all(&container).unwrap();
        let command: &[&str] = if hosted { &["sleep", "600"] } else { &["unshare", "-n", "sleep", "600"] };
        let process = Process::start(command);
        if !hosted {
            settled(process.0.id());
        }
        join(&container, process.0.id());
        let node = self.process.0.id();
        let pod = Pod { uid, link: format!("link{number}"), number, node, cgroup, process, hosted };
        if !hosted {
            pod.new_link();
        }
        pod
    }

    pub(crate) fn forget_neighbours(&self) {
        ip("neigh flush dev bridge");
        ip("-6 neigh flush dev bridge");
    }

    /// Passes packets on in the node's own name, as a Service's node port does.
    pub(crate) fn masquerade(&self, on: bool) {
        let script = match on {
            true => {
                "add table inet outis-test; add chain inet outis-test out { type nat hook postrouting priority 100; }; \
                     add rule inet outis-test out oifname \"bridge\" masquerade"
            }
            false => "delete table inet outis-test",
        };
        run("nft", &[script]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(bpffs) = self.pins.parent() {
            let _ = rustix::mount::unmount(bpffs, rustix::mount::UnmountFlags::DETACH);
        }
        let cgroups = self.cgroups.clone();
        // Pods end before their node does; those of a test that failed may not have yet.
        let _ = fs::remove_dir(cgroups.join("kubepods/burstable"));
        let _ = fs::remove_dir(cgroups.join("kubepods"));
        let _ = fs::remove_dir(cgroups);
    }
}

impl Pod {
    pub(crate) fn place(&self) -> Place {
        Place { network: self.network(), cgroup: Some(self.cgroup.join("ab".repeat(32))) }
    }

    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.place().within(work)
    }

    fn network(&self) -> u32 {
        if self.hosted { self.node } else { self.process.0.id() }
    }

    pub(crate) fn address(&self, family: Family) -> IpAddr {
        family.host(if self.hosted { 1 } else { self.number })
    }

    /// The link, made for the first time or in the place of the one before.
    pub(crate) fn new_link(&self) {
        let _ = Command::new("ip").args(["link", "del", &self.link]).stderr(Stdio::null()).status();
        ip(&format!("link add {} type veth peer name eth0 netns {}", self.link, self.network()));
        ip(&format!("link set {} master bridge up", self.link));
        Place { network: self.network(), cgroup: None }.within(|| {
            ip("link set lo up");
            ip("link set eth0 up");
            for family in Family::BOTH {
                ip(&format!("addr add {} dev eth0 {}", on_link(family, self.number), nodad(family)));
            }
        });
    }

    pub(crate) fn forget_neighbours(&self) {
        Place { network: self.network(), cgroup: None }.within(|| {
            ip("neigh flush dev eth0");
            ip("-6 neigh flush dev eth0");
        });
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        let _ = fs::remove_dir(self.cgroup.join("ab".repeat(32)));
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn on_link(family: Family, number: u32) -> String {
    format!("{}/{}", family.host(number), if family == Family::V4 { 24 } else { 64 })
}

fn nodad(family: Family) -> &'static str {
    if family == Family::V6 { "nodad" } else { "" }
}

fn ip(arguments: &str) {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program} {}: {said}", arguments.join(" "));
}

/// Waits until a process has left our network namespace.
fn settled(process: u32) {
    let link = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let ours = link("thread-self");
    eventually(Duration::from_secs(5), "a namespace of its own", || {
        let theirs = link(&process.to_string());
        theirs.is_some() && theirs != ours
    });
}

/// Waits until something holds.
pub(crate) fn eventually(deadline: Duration, what: &str, holds: impl Fn() -> bool) {
    let until = std::time::Instant::now() + deadline;
    while !holds() {
        assert!(std::time::Instant::now() < until, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection from a place, made within a moment.
pub(crate) fn connected(from: &Place, to: IpAddr, port: u16) -> Option<TcpStream> {
    from.within(|| TcpStream::connect_timeout(&(to, port).into(), Duration::from_millis(400)).ok())
}

/// Whether an echo comes back over a new connection.
pub(crate) fn reaches(from: &Place, to: IpAddr, port: u16) -> bool {
    use std::io::{Read, Write};
    let Some(mut stream) = connected(from, to, port) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = [0; 4];
    stream.write_all(b"echo").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"echo"
}
