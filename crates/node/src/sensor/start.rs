//! Loading and attaching, step by step; each step's failure has a name.

use std::path::Path;
use std::{fs, io};

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf};
use aya::programs::{Iter, ProgramError, RawTracePoint, TracePoint};
use aya::{Ebpf, EbpfLoader};
use outis_abi::{FIELDS, RINGS};

use super::{Cgroups, Ring, Sensor, SensorConfig, SensorError, seen};
use crate::btf::Btf;
use crate::object::object;

const VMLINUX: &str = "sys/kernel/btf/vmlinux";
/// Where tracefs is, and where it was before it had a place of its own.
const TRACEFS: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];
/// BPF_MAP_TYPE_RINGBUF.
const RINGBUF: u32 = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;

/// Programs on raw tracepoints.
const RAW: [(&str, &str); 3] =
    [("exec_done", "sched_process_exec"), ("forked", "sched_process_fork"), ("exited", "sched_process_exit")];

/// Programs on the ends of syscalls; those an architecture does not have are left out.
const SYSCALLS: [(&str, &[&str]); 4] = [
    ("exec_failed", &["sys_exit_execve", "sys_exit_execveat"]),
    ("opened", &["sys_exit_open", "sys_exit_openat", "sys_exit_openat2", "sys_exit_creat"]),
    ("connected", &["sys_exit_connect"]),
    ("accepted", &["sys_exit_accept", "sys_exit_accept4"]),
];

/// Values set in the programs before they are loaded.
struct Globals {
    offsets: [u32; FIELDS],
    cgroup_subsys: u32,
    own_ns: u32,
    own_pid: u32,
    ring_count: u32,
}

pub(super) fn start(config: &SensorConfig) -> Result<Sensor, SensorError> {
    // The machine first: what it lacks is worth knowing, whatever this binary was built with.
    tracefs(&config.root)?;
    let btf = kernel_types(&config.root.join(VMLINUX))?;
    let object = object().ok_or(SensorError::NoObject)?;
    let rings = config.rings.clamp(1, RINGS as u32);
    let globals = Globals {
        offsets: btf.offsets()?,
        cgroup_subsys: match config.cgroups {
            Cgroups::Detect => v1_controller(&btf),
            Cgroups::V2 => u32::MAX,
        },
        own_ns: own_namespace(),
        own_pid: if config.own_pid_filter { std::process::id() } else { 0 },
        ring_count: rings,
    };
    drop(btf);
    raise_memlock();
    let mut programs = load(object, &globals)?;
    let rings = make_rings(&mut programs, rings, config.ring_bytes)?;
    let mut sensor = Sensor {
        config: map(&mut programs, "CONFIG")?,
        prefixes: map(&mut programs, "PREFIXES")?,
        suffixes: map(&mut programs, "SUFFIXES")?,
        lost: map(&mut programs, "LOST")?,
        counts: map(&mut programs, "COUNTS")?,
        listed: std::collections::BTreeSet::new(),
        own_cgroup: String::new(),
        ring_count: rings.len() as u32,
        rings,
        programs,
    };
    sensor.set_interest(&config.interest)?;
    attach(&mut sensor.programs, &config.root)?;
    // After attaching: who starts between the two is told twice rather than never.
    list(&mut sensor)?;
    give_back();
    Ok(sensor)
}

/// Reading the kernel's type information takes tens of MiB for a moment, which the allocator would keep for good.
fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library's call has no safe wrapper")]
    // SAFETY: it takes no pointer and touches only what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}

pub(crate) fn kernel_types(path: &Path) -> Result<Btf, SensorError> {
    let bytes = fs::read(path).map_err(|source| SensorError::NoBtf { path: path.into(), source })?;
    Ok(Btf::parse(&bytes)?)
}

/// The index of the controller whose v1 hierarchy tells containers apart; `u32::MAX` where v1 is not
/// used. A hierarchy is in use when it has a number (`/proc/cgroups`, second column).
fn v1_controller(btf: &Btf) -> u32 {
    let listed = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let used = |name: &str| {
        listed.lines().any(|line| {
            let mut columns = line.split_whitespace();
            columns.next() == Some(name) && columns.next().is_some_and(|number| number != "0")
        })
    };
    ["memory", "pids", "cpu", "cpuset"]
        .into_iter()
        .filter(|name| used(name))
        .find_map(|name| btf.enumerator(&format!("{name}_cgrp_id")))
        .unwrap_or(u32::MAX)
}

/// The number of our PID namespace, from the link's text: `pid:[4026531836]`.
fn own_namespace() -> u32 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let text = link.to_string_lossy().into_owned();
    text.trim_start_matches("pid:[").trim_end_matches(']').parse().unwrap_or(0)
}

/// Syscall tracepoints are looked up by name in tracefs, which nobody may have mounted yet.
fn tracefs(root: &Path) -> Result<(), SensorError> {
    if TRACEFS.iter().any(|at| root.join(at).join("events").exists()) {
        return Ok(());
    }
    let path = root.join(TRACEFS[0]);
    rustix::mount::mount("tracefs", path.as_path(), "tracefs", rustix::mount::MountFlags::empty(), None)
        .map_err(|error| SensorError::NoTracefs { path, source: error.into() })
}

/// Before Linux 5.11 maps count as locked memory. Where we may not raise the limit, making the rings
/// will say so.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

fn load(object: &[u8], globals: &Globals) -> Result<Ebpf, SensorError> {
    EbpfLoader::new()
        .override_global("OFFSETS", &globals.offsets[..], true)
        .override_global("CGROUP_SUBSYS", &globals.cgroup_subsys, true)
        .override_global("OWN_NS", &globals.own_ns, true)
        .override_global("OWN_PID", &globals.own_pid, true)
        .override_global("RING_COUNT", &globals.ring_count, true)
        .load(object)
        .map_err(|error| match refused(&error) {
            true => SensorError::NoPermission { source: Box::new(error) },
            false => SensorError::Load { source: Box::new(error) },
        })
}

/// Whether somewhere in the chain the kernel said EPERM or EACCES.
fn refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        next = error.source();
    }
    false
}

fn map<T: TryFrom<Map, Error = MapError>>(programs: &mut Ebpf, name: &'static str) -> Result<T, SensorError> {
    let map = programs.take_map(name).ok_or(SensorError::Missing(name))?;
    T::try_from(map).map_err(|source| SensorError::Map { name, source })
}

fn make_rings(programs: &mut Ebpf, count: u32, bytes: u32) -> Result<Vec<Ring>, SensorError> {
    const NAME: &str = "RINGS_BY_INDEX";
    let bytes = bytes.max(4096).next_power_of_two();
    let places = programs.map_mut(NAME).ok_or(SensorError::Missing(NAME))?;
    let mut places: ArrayOfMaps<&mut MapData, MapData> =
        places.try_into().map_err(|source| SensorError::Map { name: NAME, source })?;
    let mut rings = Vec::new();
    for index in 0..count {
        let failed = |source| SensorError::Ring { index, bytes, source };
        let shape = aya_obj::Map::new_from_params(RINGBUF, 0, 0, bytes, 0);
        let data = MapData::create(shape, "outis_ring", None).map_err(failed)?;
        places.set(index, &data, 0).map_err(failed)?;
        rings.push(Ring::new(index, RingBuf::try_from(Map::RingBuf(data)).map_err(failed)?));
    }
    Ok(rings)
}

fn attach(programs: &mut Ebpf, root: &Path) -> Result<(), SensorError> {
    for (program, hook) in RAW {
        let loaded: &mut RawTracePoint = loaded(programs, program)?;
        loaded.load().map_err(|source| SensorError::Program { program, source })?;
        loaded.attach(hook).map_err(|source| SensorError::Attach { program, hook, source })?;
    }
    for (program, hooks) in SYSCALLS {
        let loaded: &mut TracePoint = loaded(programs, program)?;
        loaded.load().map_err(|source| SensorError::Program { program, source })?;
        for hook in hooks.iter().copied().filter(|hook| exists(root, hook)) {
            loaded.attach("syscalls", hook).map_err(|source| SensorError::Attach {
                program,
                hook,
                source,
            })?;
        }
    }
    Ok(())
}

fn exists(root: &Path, hook: &str) -> bool {
    TRACEFS.iter().any(|at| root.join(at).join("events/syscalls").join(hook).exists())
}

fn loaded<'a, P>(programs: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, SensorError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = programs.program_mut(name).ok_or(SensorError::Missing(name))?;
    program.try_into().map_err(|source| SensorError::Program { program: name, source })
}

/// Gives every ring the processes that already run.
fn list(sensor: &mut Sensor) -> Result<(), SensorError> {
    const NAME: &str = "seen";
    let refused = |source| SensorError::Program { program: NAME, source };
    let types = aya::Btf::from_sys_fs().map_err(|error| refused(ProgramError::from(error)))?;
    let iterator: &mut Iter = loaded(&mut sensor.programs, NAME)?;
    iterator.load("task", &types).map_err(refused)?;
    let link = iterator.attach().map_err(refused)?;
    let link = iterator.take_link(link).map_err(refused)?;
    let file = link.into_file().map_err(|error| SensorError::Seen { source: io::Error::other(error) })?;
    for (pid, raw) in seen::read(file).map_err(|source| SensorError::Seen { source })? {
        if pid == std::process::id() {
            let own = crate::decode::decode(raw.bytes(), &crate::Clock::now());
            sensor.own_cgroup = own.map(|own| own.cgroup_path).unwrap_or_default();
            continue;
        }
        let index = pid % sensor.ring_count;
        if let Some(ring) = sensor.rings.get_mut(index as usize) {
            ring.add_seen(raw);
        }
    }
    Ok(())
}
