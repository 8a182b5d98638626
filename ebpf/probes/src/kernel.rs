//! Reading kernel memory by offsets that user space resolved.

use core::mem::MaybeUninit;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs};
use outis_abi::{FIELDS, Field};

/// Set by user space, in the order of [`Field`].
#[unsafe(no_mangle)]
static OFFSETS: [u32; FIELDS] = [0; FIELDS];
/// Which v1 controller's hierarchy tells containers apart; `u32::MAX` on pure v2.
#[unsafe(no_mangle)]
static CGROUP_SUBSYS: u32 = u32::MAX;
/// Inode number of the agent's PID namespace.
#[unsafe(no_mangle)]
static OWN_NS: u32 = 0;
/// The agent in that namespace; 0 lets its own doings through.
#[unsafe(no_mangle)]
static OWN_PID: u32 = 0;
/// How many rings there are.
#[unsafe(no_mangle)]
static RING_COUNT: u32 = 1;

/// PROC_PID_INIT_INO: the initial PID namespace has this number on every kernel.
const INITIAL_NS: u32 = 0xEFFF_FFFC;
/// What stands for a field this kernel was built without.
const ABSENT: u32 = u32::MAX;

#[inline(always)]
pub fn offset(field: Field) -> u32 {
    // SAFETY: an initialised static; volatile because user space changes it before loading.
    unsafe { read_volatile(&OFFSETS[field as usize]) }
}

#[inline(always)]
pub fn present(field: Field) -> bool {
    offset(field) != ABSENT
}

/// The index of the v1 controller, if v1 is what tells.
#[inline(always)]
pub fn v1_controller() -> Option<u32> {
    // SAFETY: as above.
    let index = unsafe { read_volatile(&CGROUP_SUBSYS) };
    if index == u32::MAX { None } else { Some(index) }
}

#[inline(always)]
pub fn own_ns() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&OWN_NS) }
}

#[inline(always)]
pub fn own_ns_is_initial() -> bool {
    own_ns() == INITIAL_NS
}

#[inline(always)]
pub fn own_pid() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&OWN_PID) }
}

#[inline(always)]
pub fn ring_count() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&RING_COUNT) }
}

/// Reads at an address; zero where nothing can be read.
#[inline(always)]
pub fn read_at<T: Copy>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the helper writes `size_of::<T>()` bytes, zeroes when it fails; `T` is an integer or an
    // array of integers wherever this is called.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _);
        value.assume_init()
    }
}

/// How fields are read. The verifier knows the type of some pointers; through those a field is a plain
/// load, a tenth of a helper's price.
pub trait Memory {
    fn read_at<T: Copy>(address: u64) -> T;

    #[inline(always)]
    fn read<T: Copy>(base: u64, field: Field) -> T {
        Self::read_at(address(base, field))
    }
}

/// Any pointer, by helper.
pub struct Probed;
/// A pointer whose type the verifier knows, and what it leads to.
pub struct Typed;

impl Memory for Probed {
    #[inline(always)]
    fn read_at<T: Copy>(address: u64) -> T {
        read_at(address)
    }
}

impl Memory for Typed {
    #[inline(always)]
    fn read_at<T: Copy>(address: u64) -> T {
        // SAFETY: the verifier checks the load against the field's type; what cannot be read is zero.
        unsafe { read_volatile(address as *const T) }
    }
}

/// The running task, its type known.
#[inline(always)]
pub fn typed_current() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_task_btf() as u64 }
}

/// Reads a field of the object at `base`.
#[inline(always)]
pub fn read<T: Copy>(base: u64, field: Field) -> T {
    read_at(base.wrapping_add(offset(field) as u64))
}

/// Reads two pointers of one object, by one helper where they lie as kernels lay them: 16 bytes apart.
#[inline(always)]
pub fn read_both(base: u64, first: Field, second: Field) -> (u64, u64) {
    if offset(second).wrapping_sub(offset(first)) == 16 {
        let block: [u64; 3] = read(base, first);
        return (block[0], block[2]);
    }
    (read(base, first), read(base, second))
}

/// The address of a field.
#[inline(always)]
pub fn address(base: u64, field: Field) -> u64 {
    base.wrapping_add(offset(field) as u64)
}

/// The running task.
#[inline(always)]
pub fn current() -> u64 {
    // SAFETY: no arguments.
    unsafe { aya_ebpf::helpers::generated::bpf_get_current_task() }
}

/// The first four arguments of the syscall the running task is leaving. The kernel leaves the saved
/// registers alone, so they are what was asked for, and no program on the way in is needed.
#[inline(always)]
pub fn arguments() -> [u64; 4] {
    // SAFETY: both helpers always succeed in a task's context; the verifier checks the loads
    // against the type of the register frame, whose layout is the architecture's ABI.
    unsafe {
        let regs = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const u64;
        #[cfg(bpf_target_arch = "x86_64")]
        let places = [14, 13, 12, 7];
        // x0 holds the result by now; `orig_x0` stands behind the user's registers.
        #[cfg(bpf_target_arch = "aarch64")]
        let places = [34, 1, 2, 3];
        [*regs.add(places[0]), *regs.add(places[1]), *regs.add(places[2]), *regs.add(places[3])]
    }
}
