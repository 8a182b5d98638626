//! The path of a task's cgroup, remembered by id: a cgroup never moves and its id is never used again.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use outis_abi::{Field, path};

use crate::kernel::{Memory, address, read, v1_controller};
use crate::out::Out;

const TEXT: usize = 512;
const NAME: u32 = 128;
/// Deeper trees lose their upper end, which does not tell containers apart.
const DEPTH: u32 = 16;

#[repr(C)]
struct Text {
    len: u32,
    // Room for a last name behind the limit.
    bytes: [u8; TEXT + NAME as usize],
}

#[map]
static KNOWN: LruHashMap<u64, Text> = LruHashMap::with_max_entries(1024, 0);
#[map]
static FRESH: PerCpuArray<Text> = PerCpuArray::with_max_entries(1, 0);

/// Appends the path of a cgroup's node; its id and how many bytes.
#[inline(never)]
pub fn append(out: &mut Out, node: u64) -> (u64, u16) {
    if node == 0 {
        return (0, 0);
    }
    let id: u64 = read(node, Field::NodeId);
    // SAFETY: an entry that is replaced meanwhile holds the text of another cgroup; entries are only
    // replaced when 1024 cgroups were active, and the id tells which text was meant.
    let known = KNOWN.get_ptr(id);
    let text = match known {
        Some(text) => text,
        None => match fresh(node) {
            Some(text) => {
                // SAFETY: `text` is this CPU's own value of the right size.
                let _ = KNOWN.insert(id, unsafe { &*text }, 0);
                text
            }
            None => return (id, 0),
        },
    };
    // SAFETY: a value of either map.
    let (len, bytes) = unsafe { ((*text).len, &raw const (*text).bytes) };
    (id, out.kernel_bytes(bytes as u64, len))
}

/// The node of the cgroup a task is in.
#[inline(always)]
pub fn node<M: Memory>(task: u64) -> u64 {
    let set: u64 = M::read(task, Field::TaskCgroups);
    let cgroup: u64 = match v1_controller() {
        None => M::read(set, Field::CssDefault),
        Some(index) => {
            let state: u64 = M::read_at(address(set, Field::CssSubsys) + u64::from(index) * 8);
            M::read(state, Field::StateCgroup)
        }
    };
    M::read(cgroup, Field::CgroupNode)
}

/// Walks to the root, last element first.
#[inline(always)]
fn fresh(mut node: u64) -> Option<*const Text> {
    let text = FRESH.get_ptr_mut(0)?;
    let bytes: *mut u8 = unsafe { &raw mut (*text).bytes }.cast();
    // How far it is stands in the map for the reason given in `out`.
    // SAFETY: this CPU's own value, as everywhere below.
    let len = unsafe { &raw mut (*text).len };
    unsafe { write_volatile(len, 0) };
    let mut end = path::CUT;
    let mut step = 0;
    while step < DEPTH {
        step += 1;
        let parent: u64 = read(node, Field::NodeParent);
        if parent == 0 {
            end = path::ROOT;
            break;
        }
        let at = unsafe { read_volatile(len) };
        if at >= (TEXT - NAME as usize) as u32 {
            break;
        }
        let name: u64 = read(node, Field::NodeName);
        // SAFETY: NAME bytes fit behind `at`.
        let n = unsafe { bpf_probe_read_kernel_str(bytes.add(at as usize).cast(), NAME, name as *const _) };
        if n <= 0 || n > i64::from(NAME) {
            break;
        }
        unsafe { write_volatile(len, at + n as u32) };
        node = parent;
    }
    let at = unsafe { read_volatile(len) };
    if at >= TEXT as u32 {
        return None;
    }
    // SAFETY: in bounds.
    unsafe {
        *bytes.add(at as usize) = end;
        (*text).len = at + 1;
    }
    Some(text)
}
