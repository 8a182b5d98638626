//! What user space asked for. The filter passes a superset of what rules could match; what it holds
//! back is counted.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, PerCpuArray};
use outis_abi::{COUNTERS, Config, Counter, Kind, LEAF, OPENS_ALL, OPENS_LISTED, PREFIX, path};

use crate::out::next;
use crate::walk::{MARKED, Marks, marks};

/// Element 0 is in force.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
/// By [`Counter`].
#[map]
static COUNTS: Array<u64> = Array::with_max_entries(COUNTERS as u32, 0);
/// Prefixes of absolute paths.
#[map]
static PREFIXES: LpmTrie<[u8; PREFIX], u8> = LpmTrie::with_max_entries(1024, 0);
/// Suffixes of file names, each written backwards.
#[map]
static SUFFIXES: LpmTrie<[u8; LEAF], u8> = LpmTrie::with_max_entries(256, 0);
/// Text put the right way round: room for a name behind the bytes compared.
#[map]
static TEXT: PerCpuArray<[u8; PREFIX + 256]> = PerCpuArray::with_max_entries(1, 0);

const NAME: u32 = 256;
const O_ACCMODE: u32 = 3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;

#[inline(always)]
pub fn count(counter: Counter) {
    next(&COUNTS, counter as u32);
}

/// The configuration, when it asks for this kind.
#[inline(always)]
pub fn wanted(kind: Kind) -> Option<Config> {
    let config = *CONFIG.get(0)?;
    if config.kinds & kind.bit() == 0 {
        count(Counter::Filtered);
        return None;
    }
    Some(config)
}

/// Whether an open passes without a look at its path.
#[inline(always)]
pub fn passes_unseen(config: &Config, flags: u32) -> bool {
    let writes = flags & (O_ACCMODE | O_CREAT | O_TRUNC) != 0;
    config.opens == OPENS_ALL || (config.opens == OPENS_LISTED && config.writes != 0 && writes)
}

/// Whether the path just walked is listed; `leaf_first` is where the walk wrote it.
#[inline(never)]
pub fn walked_is_listed(leaf_first: u64, suffixes: u32) -> bool {
    let (Some(text), Some(marks)) = (TEXT.get_ptr_mut(0), marks()) else { return false };
    let text: *mut u8 = text.cast();
    if suffixes != 0 && ends_listed(text, leaf_first) {
        return true;
    }
    let len = in_order(text, leaf_first, marks);
    starts_listed(text, len)
}

/// Whether the caller's own path is listed; one that is not absolute counts as listed, for nobody
/// here knows what it means.
#[inline(never)]
pub fn written_is_listed(path: u64, len: u32, suffixes: u32) -> bool {
    let Some(text) = TEXT.get_ptr_mut(0) else { return true };
    let text: *mut u8 = text.cast();
    // SAFETY: the buffer has room for NAME bytes.
    let n = unsafe { bpf_probe_read_kernel_str(text.cast(), NAME, path as *const _) };
    // SAFETY: its first byte.
    if n < 2 || unsafe { *text } != b'/' {
        return true;
    }
    let known = if n as u32 - 1 > PREFIX as u32 { PREFIX as u32 } else { n as u32 - 1 };
    if starts_listed(text, known) {
        return true;
    }
    let back = if len as usize > LEAF { len - LEAF as u32 - 1 } else { 0 };
    suffixes != 0 && ends_listed(text, path + u64::from(back))
}

/// Puts the first elements in order; how many bytes of the path can be compared.
#[inline(always)]
fn in_order(text: *mut u8, leaf_first: u64, marks: &Marks) -> u32 {
    let mut len = 0u32;
    let mut step = 0;
    while step < path::DEPTH as u32 && len < PREFIX as u32 {
        step += 1;
        let Some(left) = marks.count.checked_sub(step) else { break };
        // Hidden from the optimiser, which would turn index and bound into a pointer no check covers.
        let at = marks.at[core::hint::black_box(left) as usize & (MARKED - 1)];
        let to = core::hint::black_box(len) & (PREFIX as u32 - 1);
        // SAFETY: `to` is less than PREFIX; a slash and NAME - 1 bytes fit behind it.
        let n = unsafe {
            *text.add(to as usize) = b'/';
            let from = leaf_first + u64::from(at);
            bpf_probe_read_kernel_str(text.add(to as usize + 1).cast(), NAME - 1, from as *const _)
        };
        if n <= 0 || n > i64::from(NAME) {
            break;
        }
        len = to + n as u32;
    }
    if len > PREFIX as u32 { PREFIX as u32 } else { len }
}

#[inline(always)]
fn starts_listed(text: *const u8, len: u32) -> bool {
    // SAFETY: PREFIX bytes of the buffer; what lies behind `len` is not compared.
    let data = unsafe { *text.cast::<[u8; PREFIX]>() };
    PREFIXES.get(Key::new(len * 8, data)).is_some()
}

/// Looks at the last LEAF bytes of the text at `from`, which is at most NAME long.
#[inline(always)]
fn ends_listed(text: *mut u8, from: u64) -> bool {
    // SAFETY: the buffer has room for NAME bytes.
    let n = unsafe { bpf_probe_read_kernel_str(text.cast(), NAME, from as *const _) };
    if n < 2 {
        return false;
    }
    let len = n as u32 - 1;
    let mut backwards = [0u8; LEAF];
    let mut i = 0u32;
    while i < LEAF as u32 {
        if i < len {
            let at = core::hint::black_box(len - 1 - i) & (NAME - 1);
            // SAFETY: less than NAME.
            backwards[i as usize] = unsafe { *text.add(at as usize) };
        }
        i += 1;
    }
    let known = if len > LEAF as u32 { LEAF as u32 } else { len };
    SUFFIXES.get(Key::new(known * 8, backwards)).is_some()
}
