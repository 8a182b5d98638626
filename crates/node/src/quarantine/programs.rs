//! One pod's programs and maps: loaded, attached, pinned, and found again by the next agent.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, LinkOrder, ProgramError, SchedClassifier, TcAttachType,
};
use aya::{Ebpf, EbpfLoader};
use outis_abi::Confinement;

use super::QuarantineError;
use crate::object;

/// The maps, by the names they have in the programs; pinned in lower case, for those of bpffs have no dots.
pub(super) const MAPS: [&str; 3] = ["CONFINEMENT", "NODE", "STOPPED"];
/// The gates, by their programs; a link is pinned under the name with `_at` behind it.
pub(super) const AT_CGROUP: [(&str, CgroupSkbAttachType); 2] =
    [("cgroup_in", CgroupSkbAttachType::Ingress), ("cgroup_out", CgroupSkbAttachType::Egress)];
/// Our end of the link: what leaves it goes in to the pod.
pub(super) const AT_LINK: [(&str, TcAttachType); 2] =
    [("link_in", TcAttachType::Egress), ("link_out", TcAttachType::Ingress)];

/// What the programs look at and count.
pub(super) struct Maps {
    pub(super) confinement: Array<MapData, [u8; size_of::<Confinement>()]>,
    pub(super) node: HashMap<MapData, [u8; 16], u8>,
    pub(super) stopped: Array<MapData, [u64; 4]>,
}

/// The programs themselves.
pub(super) enum Programs {
    /// Loaded by us.
    Loaded(Box<Ebpf>),
    /// Pinned in this directory by the agent before us.
    Pinned(std::path::PathBuf),
}

/// Loads them; they are attached to nothing.
pub(super) fn load() -> Result<(Programs, Maps), QuarantineError> {
    let object = object::quarantine().ok_or(QuarantineError::NoObject)?;
    let mut loaded =
        EbpfLoader::new().load(object).map_err(|error| QuarantineError::Load(Box::new(error)))?;
    for (name, _) in AT_CGROUP {
        let program: &mut CgroupSkb = typed(&mut loaded, name)?;
        program.load().map_err(refused(name, None))?;
    }
    for (name, _) in AT_LINK {
        let program: &mut SchedClassifier = typed(&mut loaded, name)?;
        program.load().map_err(refused(name, None))?;
    }
    let [confinement, node, stopped] = MAPS;
    // Handles of our own: theirs stay with the programs, to be pinned.
    let maps = Maps {
        confinement: map(confinement, Map::Array(handle(&loaded, confinement)?))?,
        node: map(node, Map::HashMap(handle(&loaded, node)?))?,
        stopped: map(stopped, Map::Array(handle(&loaded, stopped)?))?,
    };
    Ok((Programs::Loaded(Box::new(loaded)), maps))
}

/// Finds them again where they were pinned.
pub(super) fn found(dir: &Path) -> Result<(Programs, Maps), QuarantineError> {
    let open = |name: &'static str| {
        let data = MapData::from_pin(dir.join(name.to_lowercase()));
        data.map_err(|source| QuarantineError::Map { map: name, source: Box::new(source) })
    };
    let [confinement, node, stopped] = MAPS;
    let maps = Maps {
        confinement: map(confinement, Map::Array(open(confinement)?))?,
        node: map(node, Map::HashMap(open(node)?))?,
        stopped: map(stopped, Map::Array(open(stopped)?))?,
    };
    Ok((Programs::Pinned(dir.to_owned()), maps))
}

fn handle(loaded: &Ebpf, name: &'static str) -> Result<MapData, QuarantineError> {
    let (Map::Array(data) | Map::HashMap(data)) = loaded.map(name).ok_or(QuarantineError::Missing(name))?
    else {
        return Err(QuarantineError::Missing(name));
    };
    let failed = |source| QuarantineError::Map { map: name, source: Box::new(source) };
    let copy = data.fd().as_fd().try_clone_to_owned().map_err(|error| failed(MapError::IoError(error)))?;
    MapData::from_fd(copy).map_err(failed)
}

fn map<T: TryFrom<Map, Error = MapError>>(name: &'static str, map: Map) -> Result<T, QuarantineError> {
    T::try_from(map).map_err(|source| QuarantineError::Map { map: name, source: Box::new(source) })
}

fn typed<'a, P>(loaded: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, QuarantineError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = loaded.program_mut(name).ok_or(QuarantineError::Missing(name))?;
    program.try_into().map_err(refused(name, None))
}

fn refused(program: &'static str, at: Option<String>) -> impl FnOnce(ProgramError) -> QuarantineError {
    move |source| QuarantineError::Program { program, at, source: Box::new(source) }
}

impl Programs {
    /// Attaches both ways at a pod's cgroup.
    pub(super) fn at_cgroup(&mut self, dir: &Path) -> Result<Vec<(&'static str, FdLink)>, QuarantineError> {
        let cgroup = File::open(dir).map_err(QuarantineError::io(format!("open {}", dir.display())))?;
        let mut links = Vec::new();
        for (name, way) in AT_CGROUP {
            let failed = || refused(name, Some(dir.display().to_string()));
            let attach = |program: &mut CgroupSkb| {
                // Links stand beside each other anyway, and take no flag that says so.
                let id = program.attach(&cgroup, way, CgroupAttachMode::Single).map_err(failed())?;
                let link = program.take_link(id).map_err(failed())?;
                FdLink::try_from(link)
                    .map_err(|error| failed()(ProgramError::IOError(std::io::Error::other(error))))
            };
            links.push((
                name,
                match self {
                    Self::Loaded(loaded) => attach(typed(loaded, name)?)?,
                    Self::Pinned(pins) => {
                        attach(&mut CgroupSkb::from_pin(pins.join(name), way).map_err(refused(name, None))?)?
                    }
                },
            ));
        }
        Ok(links)
    }

    /// Attaches both ways at our end of a pod's link at once, until [`Self::at_link`] has: that waits until every processor
    /// has seen the change, tens of milliseconds each way, where a filter waits for nobody. Dropped means detached.
    pub(super) fn at_link_now(&mut self, link: &str) -> Result<Vec<SchedClassifierLink>, QuarantineError> {
        // Somebody else may have made it; it holds their filters and ours, and goes with the link.
        let _ = tc::qdisc_add_clsact(link);
        let mut filters = Vec::new();
        for (name, way) in AT_LINK {
            let failed = || refused(name, Some(format!("link {link}")));
            let attach = |program: &mut SchedClassifier| {
                let first = TcAttachOptions::Netlink(NlOptions { priority: 1, ..NlOptions::default() });
                let id = program.attach_with_options(link, way, first).map_err(failed())?;
                program.take_link(id).map_err(failed())
            };
            filters.push(match self {
                Self::Loaded(loaded) => attach(typed(loaded, name)?)?,
                Self::Pinned(pins) => {
                    attach(&mut SchedClassifier::from_pin(pins.join(name)).map_err(refused(name, None))?)?
                }
            });
        }
        Ok(filters)
    }

    /// Attaches both ways at our end of a pod's link, before all others that are there.
    pub(super) fn at_link(&mut self, link: &str) -> Result<Vec<(&'static str, FdLink)>, QuarantineError> {
        let mut links = Vec::new();
        for (name, way) in AT_LINK {
            let failed = || refused(name, Some(format!("link {link}")));
            let attach = |program: &mut SchedClassifier| {
                let first = TcAttachOptions::TcxOrder(LinkOrder::first());
                let id = program.attach_with_options(link, way, first).map_err(failed())?;
                let link = program.take_link(id).map_err(failed())?;
                FdLink::try_from(link)
                    .map_err(|error| failed()(ProgramError::IOError(std::io::Error::other(error))))
            };
            links.push((
                name,
                match self {
                    Self::Loaded(loaded) => attach(typed(loaded, name)?)?,
                    Self::Pinned(pins) => {
                        attach(&mut SchedClassifier::from_pin(pins.join(name)).map_err(refused(name, None))?)?
                    }
                },
            ));
        }
        Ok(links)
    }

    /// Pins those programs and maps that are not pinned yet, so that the next agent finds them.
    pub(super) fn pin(&mut self, dir: &Path) -> Result<(), QuarantineError> {
        let Self::Loaded(loaded) = self else { return Ok(()) };
        let failed =
            |path: std::path::PathBuf| move |source| QuarantineError::Pin { path, source: Box::new(source) };
        let wanted = |name: &str| !dir.join(name).exists();
        for (name, _) in AT_CGROUP.into_iter().filter(|(name, _)| wanted(name)) {
            let program: &mut CgroupSkb = typed(loaded, name)?;
            program.pin(dir.join(name)).map_err(failed(dir.join(name)))?;
        }
        for (name, _) in AT_LINK.into_iter().filter(|(name, _)| wanted(name)) {
            let program: &mut SchedClassifier = typed(loaded, name)?;
            program.pin(dir.join(name)).map_err(failed(dir.join(name)))?;
        }
        for name in MAPS.into_iter().filter(|name| wanted(&name.to_lowercase())) {
            let path = dir.join(name.to_lowercase());
            let map = loaded.map(name).ok_or(QuarantineError::Missing(name))?;
            map.pin(&path).map_err(failed(path))?;
        }
        Ok(())
    }
}

/// Takes filters of an agent away that ended before it was done.
pub(super) fn clear(link: &str) {
    for (name, way) in AT_LINK {
        // There are none as a rule.
        let _ = tc::qdisc_detach_program(link, way, name);
    }
}

/// Where what attaches a gate is pinned. The number is the link's; 0 at the cgroup, of which there is one.
pub(super) fn pinned_at(dir: &Path, gate: &str, index: u32) -> std::path::PathBuf {
    dir.join(format!("{gate}_at_{index}"))
}

/// What attaches gates, as it is pinned: gate and link's number.
pub(super) fn pins(dir: &Path) -> Result<Vec<(&'static str, u32)>, QuarantineError> {
    let entries = std::fs::read_dir(dir).map_err(QuarantineError::io(format!("list {}", dir.display())))?;
    let gates = AT_CGROUP.map(|(gate, _)| gate).into_iter().chain(AT_LINK.map(|(gate, _)| gate));
    let gates: Vec<&'static str> = gates.collect();
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let (gate, index) = name.to_str()?.rsplit_once("_at_")?;
        Some((*gates.iter().find(|known| **known == gate)?, index.parse().ok()?))
    };
    Ok(entries.flatten().filter_map(read).collect())
}

/// A link that was pinned.
pub(super) fn pinned(path: &Path) -> Result<FdLink, QuarantineError> {
    let link = PinnedLink::from_pin(path);
    let link =
        link.map_err(|source| QuarantineError::Taken { path: path.to_owned(), source: Box::new(source) })?;
    Ok(FdLink::from(link))
}
