//! Paths from dentries. `bpf_d_path` is not for tracepoints, so the walk is ours: from the leaf to the
//! root the task sees, across mounts.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use outis_abi::{Field, path};

use crate::kernel::{address, offset, read, read_at, read_both};
use crate::out::Out;

/// Longest name of one element, with its NUL.
const NAME: u32 = 256;

/// Elements whose places are kept: the depth, rounded up to a power of two.
pub const MARKED: usize = path::DEPTH.next_power_of_two();

/// Where the elements of the last walk lie, counted from its first byte.
#[repr(C)]
pub struct Marks {
    pub count: u32,
    pub at: [u32; MARKED],
}

#[map]
static MARKS: PerCpuArray<Marks> = PerCpuArray::with_max_entries(1, 0);

pub fn marks() -> Option<&'static mut Marks> {
    // SAFETY: this CPU's own; programs of one kind do not interrupt each other.
    MARKS.get_ptr_mut(0).map(|marks| unsafe { &mut *marks })
}

/// A place in the tree, and the root to walk to.
pub struct Place {
    dentry: u64,
    mount: u64,
    root_dentry: u64,
    root_mount: u64,
}

impl Place {
    /// The `struct path` at an address, seen by a task.
    #[inline(always)]
    pub fn of(task: u64, path: u64) -> Self {
        let root = address(read(task, Field::TaskFs), Field::FsRoot);
        Self {
            dentry: read(path, Field::PathDentry),
            mount: read(path, Field::PathMnt),
            root_dentry: read(root, Field::PathDentry),
            root_mount: read(root, Field::PathMnt),
        }
    }

    /// Where a file lies.
    #[inline(always)]
    pub fn of_file(task: u64, file: u64) -> Self {
        Self::of(task, address(file, Field::FilePath))
    }

    /// A task's working directory.
    #[inline(always)]
    pub fn of_cwd(task: u64) -> Self {
        Self::of(task, address(read(task, Field::TaskFs), Field::FsPwd))
    }
}

/// Writes the path, last element first; how many bytes.
#[inline(never)]
pub fn walk(out: &mut Out, place: &mut Place) -> u16 {
    let start = out.at();
    let Some(marks) = marks() else { return 0 };
    marks.count = 0;
    if place.dentry == 0 {
        return 0;
    }
    let mut end = path::CUT;
    let mut top: u64 = read(place.mount, Field::VfsRoot);
    let mut step = 0;
    while step < path::DEPTH {
        step += 1;
        if place.dentry == place.root_dentry && place.mount == place.root_mount {
            end = path::ROOT;
            break;
        }
        let (parent, name) = read_both(place.dentry, Field::DentryParent, Field::DentryName);
        if place.dentry == top || place.dentry == parent {
            let mount = place.mount.wrapping_sub(u64::from(offset(Field::MountVfs)));
            let above: u64 = read(mount, Field::MountParent);
            if above == mount || place.dentry != top {
                end = detached(out, name, marks, start);
                break;
            }
            place.dentry = read(mount, Field::MountPoint);
            place.mount = address(above, Field::MountVfs);
            top = read(place.mount, Field::VfsRoot);
            continue;
        }
        if !element(out, name, marks, start) {
            break;
        }
        place.dentry = parent;
    }
    let Some(to) = out.room() else { return 0 };
    // SAFETY: there is room.
    unsafe { *to = end };
    out.advance(1);
    (out.at() - start) as u16
}

/// Adds a name; false when there is no more room.
#[inline(always)]
fn element(out: &mut Out, name: u64, marks: &mut Marks, start: u64) -> bool {
    let Some(to) = out.room() else { return false };
    // SAFETY: `room` has more than NAME bytes.
    let n = unsafe { bpf_probe_read_kernel_str(to.cast(), NAME, name as *const _) };
    if n <= 0 || n > i64::from(NAME) {
        return false;
    }
    if let Some(mark) = marks.at.get_mut(marks.count as usize) {
        *mark = (out.at() - start) as u32;
        marks.count += 1;
    }
    out.advance(n as u64);
    true
}

/// The top of a tree that hangs nowhere: either the absolute root, or a file without a place.
#[inline(always)]
fn detached(out: &mut Out, name: u64, marks: &mut Marks, start: u64) -> u8 {
    if read_at::<u8>(name) == b'/' {
        return path::ROOT;
    }
    element(out, name, marks, start);
    path::PSEUDO
}
