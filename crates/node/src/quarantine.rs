//! Cutting one pod off: its packets are dropped in the kernel, both ways, at its cgroup and at our end of its link.
//!
//! The gates are attached open and shut all at once, so that from the first packet stopped on none passes anywhere.
//! They are pinned, so that they hold while no agent runs; after a reboot they are gone, as all of bpffs is.

mod error;
mod network;
mod programs;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::tc::SchedClassifierLink;
use outis_abi::{Confinement, GATES, NODE_ADDRESSES, PROBE_PORTS};
use outis_model::name::PodUid;

pub use error::QuarantineError;
use programs::{AT_CGROUP, AT_LINK, Maps, Programs};
use tree::Tree;

/// BPF_FS_MAGIC.
const BPFFS: u64 = 0xcafe_4a11;

/// Which pod, and what of it still passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its UID; for a static pod the config hash that names its cgroup.
    pub pod: PodUid,
    /// Whether it shares the node's network: then it has no link of its own, and its loopback is everybody's.
    pub host_network: bool,
    /// TCP ports of its probes. At most 32 count.
    pub ports: Vec<u16>,
}

/// Where a pod is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut {
    /// At its cgroup.
    pub cgroup: bool,
    /// At this link.
    pub link: Option<String>,
    /// What could not be done of it, and why.
    pub faults: Vec<String>,
}

/// What was stopped at one gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Stops {
    /// When the first packet was, in nanoseconds since boot; 0 before there was any.
    pub first: u64,
    /// When the last one was.
    pub last: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All pods of this node that are cut off.
pub struct Quarantine {
    pins: PathBuf,
    tree: Option<Tree>,
    spare: Option<(Programs, Maps)>,
    held: BTreeMap<PodUid, Held>,
}

struct Held {
    programs: Programs,
    maps: Maps,
    /// What is attached, by gate; dropped means detached, unless it is pinned.
    links: BTreeMap<&'static str, FdLink>,
    /// What stops at the link before `links` do.
    filters: Vec<SchedClassifierLink>,
    /// The number of the link it is cut off at; 0 for none.
    at: u32,
    cut: Cut,
}

impl std::fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quarantine")
            .field("pins", &self.pins)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Quarantine {
    /// Takes over what an earlier agent pinned below `pins`, a directory in bpffs; `cgroups` is where the node's
    /// hierarchies are mounted. Gives with it what could not be taken over, and why: that is not lost, it still holds.
    ///
    /// # Errors
    /// The directory can be neither made nor read, or is not in bpffs.
    pub fn open(pins: &Path, cgroups: &Path) -> Result<(Self, Vec<String>), QuarantineError> {
        fs::create_dir_all(pins).map_err(QuarantineError::io(format!("make {}", pins.display())))?;
        // Told before anything is cut: a link that cannot be pinned is lost, and with it what it cut.
        let mounted = rustix::fs::statfs(pins).map_err(io::Error::from);
        let mounted = mounted.map_err(QuarantineError::io(format!("look at {}", pins.display())))?;
        if mounted.f_type as u64 != BPFFS {
            return Err(QuarantineError::NoBpffs { path: pins.to_owned() });
        }
        let mut quarantine =
            Self { pins: pins.to_owned(), tree: Tree::at(cgroups), spare: None, held: BTreeMap::new() };
        let entries = fs::read_dir(pins).map_err(QuarantineError::io(format!("list {}", pins.display())))?;
        let mut faults = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(Ok(uid)) = name.to_str().map(str::parse::<PodUid>) else { continue };
            match take_over(&entry.path()) {
                Ok(held) => drop(quarantine.held.insert(uid, held)),
                Err(error) => faults.push(format!("pod {uid}: {}", told(&error))),
            }
        }
        Ok((quarantine, faults))
    }

    /// Loads programs for the next pod, so that they need not be when it is told, and tells them the node's addresses.
    ///
    /// # Errors
    /// The kernel does not take them, or does not tell.
    pub fn prepare(&mut self) -> Result<(), QuarantineError> {
        let spare = match &mut self.spare {
            Some(spare) => spare,
            none => none.insert(programs::load()?),
        };
        spare.1.know(&node()?)
    }

    /// Cuts a pod off. When it returns no packet passes any more; call [`Self::keep`] next, so that this outlives us. One
    /// that is cut off already is looked at again: a new link gets its gates.
    ///
    /// # Errors
    /// Nothing of it could be cut.
    pub fn confine(&mut self, target: &Target) -> Result<Cut, QuarantineError> {
        if self.held.contains_key(&target.pod) {
            return self.look(target);
        }
        let (programs, maps) = match self.spare.take() {
            Some(spare) => spare,
            None => {
                let (programs, mut maps) = programs::load()?;
                maps.know(&node()?)?;
                (programs, maps)
            }
        };
        let (links, filters) = (BTreeMap::new(), vec![]);
        let mut held = Held { programs, maps, links, filters, at: 0, cut: Cut::default() };
        held.tell(target, false)?;
        let dir = self.tree.as_mut().and_then(|tree| tree.find(&target.pod));
        held.attach(target, dir.as_deref());
        if held.links.is_empty() && held.filters.is_empty() {
            let why = held.cut.faults.join("; ");
            return Err(match why.is_empty() {
                true => QuarantineError::Nowhere(target.pod.to_string()),
                false => QuarantineError::Io {
                    what: format!("cut pod {} off", target.pod),
                    source: io::Error::other(why),
                },
            });
        }
        held.tell(target, true)?;
        let cut = held.cut.clone();
        self.held.insert(target.pod.clone(), held);
        Ok(cut)
    }

    /// Makes what was cut hold without us.
    ///
    /// # Errors
    /// It holds only as long as we do, or for part of it.
    pub fn keep(&mut self, pod: &PodUid) -> Result<(), QuarantineError> {
        let Some(held) = self.held.get_mut(pod) else { return Ok(()) };
        let dir = self.pins.join(pod.as_str());
        // First what is there: whoever comes after us knows of it then.
        held.pin(&dir)?;
        let Some(link) = held.cut.link.clone().filter(|_| !held.filters.is_empty()) else { return Ok(()) };
        let links = held.programs.at_link(&link)?;
        held.links.extend(links);
        held.filters.clear();
        held.pin(&dir)
    }

    /// Looks at a pod that is cut off: its probes, the node's addresses and its link may have changed.
    fn look(&mut self, target: &Target) -> Result<Cut, QuarantineError> {
        let dir = self.tree.as_mut().and_then(|tree| tree.find(&target.pod));
        let Some(held) = self.held.get_mut(&target.pod) else { return Ok(Cut::default()) };
        held.maps.know(&node()?)?;
        held.tell(target, true)?;
        held.cut.faults.clear();
        held.attach(target, dir.as_deref());
        Ok(held.cut.clone())
    }

    /// Pods that are cut off.
    pub fn pods(&self) -> impl Iterator<Item = &PodUid> {
        self.held.keys()
    }

    /// What was stopped of a pod, in the order of [`outis_abi::Gate`]: cgroup in, cgroup out, link in, link out.
    #[must_use]
    pub fn stops(&self, pod: &PodUid) -> Option<[Stops; GATES]> {
        let held = self.held.get(pod)?;
        let read = |gate: usize| {
            let [first, last, packets, bytes] = held.maps.stopped.get(&(gate as u32), 0).unwrap_or_default();
            Stops { first, last, packets, bytes }
        };
        Some(std::array::from_fn(read))
    }

    /// Lets a pod go; whether it was cut off.
    ///
    /// # Errors
    /// Its pins cannot be removed: then its gates are open, but still there.
    pub fn release(&mut self, pod: &PodUid) -> Result<bool, QuarantineError> {
        let dir = self.pins.join(pod.as_str());
        let held = self.held.remove(pod);
        let there = held.is_some() || dir.exists();
        if let Some(mut held) = held {
            // All gates at once, before they go one by one.
            let open = Confinement { armed: 0, loopback: 1, count: 0, ports: [0; PROBE_PORTS] };
            held.maps.set(&open)?;
            held.filters.clear();
            held.cut.link.iter().for_each(|link| programs::clear(link));
        }
        if dir.exists() {
            let failed = |path: &Path| QuarantineError::io(format!("remove {}", path.display()));
            for entry in fs::read_dir(&dir).map_err(failed(&dir))?.flatten() {
                fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
            }
            fs::remove_dir(&dir).map_err(failed(&dir))?;
        }
        Ok(there)
    }
}

fn take_over(dir: &Path) -> Result<Held, QuarantineError> {
    let (programs, maps) = programs::found(dir)?;
    let (mut links, mut at) = (BTreeMap::new(), 0);
    for (gate, index) in programs::pins(dir)? {
        links.insert(gate, programs::pinned(&programs::pinned_at(dir, gate, index))?);
        at = at.max(index);
    }
    let cut = Cut { cgroup: links.contains_key(AT_CGROUP[0].0), ..Cut::default() };
    Ok(Held { programs, maps, links, filters: vec![], at, cut })
}

impl Held {
    fn tell(&mut self, target: &Target, armed: bool) -> Result<(), QuarantineError> {
        let mut ports = [0; PROBE_PORTS];
        let count = target.ports.len().min(PROBE_PORTS);
        ports[..count].copy_from_slice(&target.ports[..count]);
        self.maps.set(&Confinement {
            armed: u32::from(armed),
            loopback: u32::from(!target.host_network),
            count: count as u32,
            ports,
        })
    }

    /// Attaches what is not attached yet, or was to a link that is gone.
    fn attach(&mut self, target: &Target, dir: Option<&Path>) {
        let Some(dir) = dir else {
            self.cut
                .faults
                .push("its cgroup is not found below /sys/fs/cgroup in a version 2 hierarchy".into());
            return;
        };
        if !self.links.contains_key(AT_CGROUP[0].0) {
            match self.programs.at_cgroup(dir) {
                Ok(links) => {
                    self.links.extend(links);
                    self.cut.cgroup = true;
                }
                Err(error) => self.cut.faults.push(told(&error)),
            }
        }
        if target.host_network {
            return;
        }
        let link = tree::process(dir).and_then(|process| match process {
            Some(process) => network::link_to(process),
            None => Ok(None),
        });
        match link {
            Ok(Some(end)) if end.index == self.at && self.at_link() => {
                programs::clear(&end.name);
                self.cut.link = Some(end.name);
            }
            Ok(Some(end)) => match self.programs.at_link_now(&end.name) {
                Ok(filters) => {
                    AT_LINK.iter().for_each(|(gate, _)| drop(self.links.remove(gate)));
                    self.filters = filters;
                    (self.at, self.cut.link) = (end.index, Some(end.name));
                }
                Err(error) => self.cut.faults.push(told(&error)),
            },
            Ok(None) => self.cut.faults.push("no link of the node leads into its network".into()),
            Err(error) => self.cut.faults.push(format!("its link cannot be found: {error}")),
        }
    }

    fn at_link(&self) -> bool {
        AT_LINK.iter().all(|(gate, _)| self.links.contains_key(gate))
    }

    /// Pins what is not pinned yet.
    fn pin(&mut self, dir: &Path) -> Result<(), QuarantineError> {
        if !dir.exists() {
            fs::create_dir(dir).map_err(QuarantineError::io(format!("make {}", dir.display())))?;
        }
        self.programs.pin(dir)?;
        let at_link = |gate: &str| AT_LINK.iter().any(|(known, _)| *known == gate);
        let kept = programs::pins(dir)?;
        let gates: Vec<&'static str> = self.links.keys().copied().collect();
        for gate in gates {
            let index = if at_link(gate) { self.at } else { 0 };
            if kept.contains(&(gate, index)) {
                continue;
            }
            let Some(link) = self.links.remove(gate) else { continue };
            let path = programs::pinned_at(dir, gate, index);
            let pinned = link.pin(&path);
            let pinned = pinned.map_err(|source| QuarantineError::Pin { path, source: Box::new(source) })?;
            self.links.insert(gate, pinned.into());
        }
        // Those of a link that is gone hold nothing any more.
        for (gate, index) in kept.into_iter().filter(|(gate, index)| at_link(gate) && *index != self.at) {
            let path = programs::pinned_at(dir, gate, index);
            fs::remove_file(&path).map_err(QuarantineError::io(format!("remove {}", path.display())))?;
        }
        Ok(())
    }
}

impl Maps {
    /// What the programs take for the node.
    fn know(&mut self, addresses: &[IpAddr]) -> Result<(), QuarantineError> {
        let failed = |source| QuarantineError::Map { map: "NODE", source: Box::new(source) };
        let wanted: std::collections::BTreeSet<[u8; 16]> =
            addresses.iter().take(NODE_ADDRESSES as usize).map(|address| mapped(*address)).collect();
        let old: Vec<[u8; 16]> = self.node.keys().filter_map(Result::ok).collect();
        for address in old.iter().filter(|address| !wanted.contains(*address)) {
            self.node.remove(address).map_err(failed)?;
        }
        for address in wanted {
            self.node.insert(address, 1, 0).map_err(failed)?;
        }
        Ok(())
    }

    fn set(&mut self, confinement: &Confinement) -> Result<(), QuarantineError> {
        let set = self.confinement.set(0, confinement.bytes(), 0);
        set.map_err(|source| QuarantineError::Map { map: "CONFINEMENT", source: Box::new(source) })
    }
}

fn node() -> Result<Vec<IpAddr>, QuarantineError> {
    network::addresses().map_err(QuarantineError::io("ask for the node's addresses"))
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
