//! Processes that ran before us: an iterator over all tasks (`iter/task`, 5.8), read like a file. Their
//! arguments lie in memory that is not ours to read from here; user space adds them.

use aya_ebpf::helpers::generated::bpf_seq_write;
use outis_abi::{Exec, Field, Kind, RECORD};

use crate::exec::program;
use crate::kernel::{Probed, read};
use crate::out::{Of, Out};
use crate::task::{fill, group};

/// `struct bpf_iter__task`, and of `struct bpf_iter_meta` the first member: both are the kernel's
/// interface to iterators, not its inner layout.
#[repr(C)]
pub struct Context {
    meta: *const Meta,
    task: u64,
}

#[repr(C)]
struct Meta {
    seq: *mut aya_ebpf::bindings::seq_file,
}

/// One record for each thread group.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn seen(ctx: *const Context) -> i32 {
    // SAFETY: the verifier checks both loads against the iterator's type.
    let (seq, task) = unsafe { ((*(*ctx).meta).seq, (*ctx).task) };
    if task != 0 {
        told(seq, task);
    }
    0
}

#[inline(always)]
fn told(seq: *mut aya_ebpf::bindings::seq_file, task: u64) -> Option<()> {
    if read::<u32>(task, Field::TaskPid) != read::<u32>(task, Field::TaskTgid) {
        return None;
    }
    let who = group::<Probed>(task);
    if who.pid == 0 {
        return None;
    }
    let mut out = Out::new::<Exec>(Of::Seen)?;
    fill::<Probed>(&mut out, task, who, Kind::Exec);
    let mm: u64 = read(task, Field::TaskMm);
    if mm == 0 {
        return None;
    }
    program(&mut out, task, mm, |_| (0, false));
    let (id, cgroup_len) = crate::cgroup::append(&mut out, crate::cgroup::node::<Probed>(task));
    let len = out.at();
    let head = out.head();
    // SAFETY: the head lies in the buffer.
    unsafe {
        (*head).cgroup = id;
        (*head).cgroup_len = cgroup_len;
        (*head).len = len as u32;
    }
    if len <= RECORD as u64 {
        // SAFETY: `len` bytes of the buffer.
        unsafe { bpf_seq_write(seq, out.base().cast(), len as u32) };
    }
    Some(())
}
