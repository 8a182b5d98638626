//! Building a record in per-CPU memory and submitting the bytes used.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::btf_maps::{ArrayOfMaps, RingBuf};
use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_user, bpf_probe_read_user_str, bpf_ringbuf_output,
};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, PerCpuArray};
use outis_abi::{Head, RECORD, RINGS};

use crate::kernel::ring_count;

/// Filled by user space: a subject's records always go to ring `pid % RING_COUNT`.
#[btf_map]
static RINGS_BY_INDEX: ArrayOfMaps<RingBuf<u8, 4096>, RINGS> = ArrayOfMaps::new();
/// Next sequence number of each ring.
#[map]
static NUMBERS: Array<u64> = Array::with_max_entries(RINGS as u32, 0);
/// Records that found no room, by ring.
#[map]
static LOST: Array<u64> = Array::with_max_entries(RINGS as u32, 0);
/// One buffer for each program that might interrupt another.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(5, 0);

/// The most that one step adds.
pub const STEP: usize = 4096;

/// Which buffer.
#[derive(Clone, Copy)]
pub enum Of {
    Exec,
    Fork,
    Exit,
    Syscall,
    Seen,
}

/// A record being built. How far it is stands in the map with it and not on the stack: the verifier
/// follows what the stack holds along every path, and there are far too many paths through a walk.
#[repr(C, align(8))]
struct Scratch {
    at: u64,
    bytes: [u8; RECORD],
}

pub struct Out {
    scratch: *mut Scratch,
}

impl Out {
    /// An empty record with room for its head and a body.
    #[inline(always)]
    pub fn new<B>(of: Of) -> Option<Self> {
        let scratch = SCRATCH.get_ptr_mut(of as u32)?;
        // SAFETY: a value of this CPU's.
        unsafe { (*scratch).at = (size_of::<Head>() + size_of::<B>()) as u64 };
        Some(Self { scratch })
    }

    #[inline(always)]
    pub fn head(&mut self) -> *mut Head {
        self.base().cast()
    }

    #[inline(always)]
    pub fn body<B>(&mut self) -> *mut B {
        // SAFETY: `new` left room for it; the head's size keeps it aligned.
        unsafe { self.base().add(size_of::<Head>()).cast() }
    }

    #[inline(always)]
    pub fn base(&self) -> *mut u8 {
        // SAFETY: in the value.
        unsafe { (&raw mut (*self.scratch).bytes).cast() }
    }

    #[inline(always)]
    pub fn at(&self) -> u64 {
        // SAFETY: in the value; volatile so that it is not kept on the stack after all.
        unsafe { read_volatile(&raw const (*self.scratch).at) }
    }

    /// The address of what comes next, for reading it again as kernel memory.
    #[inline(always)]
    pub fn address(&self) -> u64 {
        // Never more than RECORD; the mask says so to the verifier.
        self.base() as u64 + (self.at() & (RECORD as u64 - 1))
    }

    /// Where the next step may write [`STEP`] bytes.
    #[inline(always)]
    pub fn room(&self) -> Option<*mut u8> {
        let at = self.at();
        if at > (RECORD - STEP) as u64 {
            return None;
        }
        // SAFETY: in bounds by the check above.
        Some(unsafe { self.base().add(at as usize) })
    }

    /// Takes in what a step wrote.
    #[inline(always)]
    pub fn advance(&mut self, by: u64) {
        let at = self.at() + by;
        // SAFETY: in the value.
        unsafe { write_volatile(&raw mut (*self.scratch).at, at) };
    }

    /// A NUL-terminated text of the running task's memory; how many bytes with its NUL.
    #[inline(always)]
    pub fn user_text(&mut self, address: u64) -> u16 {
        let Some(to) = self.room() else { return 0 };
        // SAFETY: `room` has STEP bytes.
        let n = unsafe { bpf_probe_read_user_str(to.cast(), STEP as u32, address as *const _) };
        if n <= 0 || n > STEP as i64 {
            return 0;
        }
        self.advance(n as u64);
        n as u16
    }

    /// Bytes of the running task's memory, `MOST` at most.
    #[inline(always)]
    pub fn user_bytes<const MOST: u64>(&mut self, address: u64, len: u64) -> u16 {
        let Some(to) = self.room() else { return 0 };
        let len = if len > MOST { MOST } else { len };
        // SAFETY: `MOST` is no more than STEP.
        let failed = unsafe { bpf_probe_read_user(to.cast(), len as u32, address as *const _) } < 0;
        if failed {
            return 0;
        }
        self.advance(len);
        len as u16
    }

    /// Bytes of kernel memory, 512 at most.
    #[inline(always)]
    pub fn kernel_bytes(&mut self, address: u64, len: u32) -> u16 {
        let Some(to) = self.room() else { return 0 };
        let len = if len > 512 { 512 } else { len };
        // SAFETY: 512 is less than STEP.
        let failed = unsafe { bpf_probe_read_kernel(to.cast(), len, address as *const _) } < 0;
        if failed {
            return 0;
        }
        self.advance(len.into());
        len as u16
    }

    /// Puts the record into its subject's ring, or counts it as lost.
    #[inline(always)]
    pub fn submit(mut self) {
        let head = self.head();
        // SAFETY: the head lies in the buffer.
        let Some(index) = unsafe { (*head).pid }.checked_rem(ring_count()) else { return };
        let Some(number) = next(&NUMBERS, index) else { return };
        let len = self.at();
        if len > RECORD as u64 {
            return;
        }
        // SAFETY: as above; `len` bytes of the buffer were checked to be in it.
        let kept = unsafe {
            (*head).number = number;
            (*head).len = len as u32;
            RINGS_BY_INDEX.get(index).is_some_and(|ring| {
                // Its own method takes no bytes of a length only known now.
                let ring = core::ptr::from_ref(ring).cast_mut().cast();
                bpf_ringbuf_output(ring, self.base().cast(), len, 0) == 0
            })
        };
        if !kept {
            next(&LOST, index);
        }
    }
}

/// Adds one; what was there before.
#[inline(always)]
pub fn next(counters: &Array<u64>, index: u32) -> Option<u64> {
    let place = counters.get_ptr_mut(index)?;
    // SAFETY: eight aligned bytes of a map, changed only atomically. An intrinsic, because the compiler
    // offers no `AtomicU64::fetch_add` for a target whose older versions lacked it (5.12 has it). Not
    // relaxed: LLVM 22 then emits an addition that returns nothing, and every number is 1.
    Some(unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(place, 1) })
}
