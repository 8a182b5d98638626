//! New thread groups.
//!
//! `raw_tp/sched_process_fork (struct task_struct *parent, struct task_struct *child)`, in the parent's
//! context, before the child runs. Tried on 6.18.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use outis_abi::{CUT, FORK_ARGS, Field, Fork, Kind};

use crate::filter::wanted;
use crate::kernel::{Probed, read};
use crate::out::{Of, Out};
use crate::task::{ancestors, fill, finish, subject};
use crate::walk::{Place, walk};

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn forked(ctx: RawTracePointContext) -> i32 {
    told(ctx.arg(1));
    0
}

#[inline(always)]
fn told(child: u64) -> Option<()> {
    if read::<u32>(child, Field::TaskPid) != read::<u32>(child, Field::TaskTgid) {
        return None;
    }
    wanted(Kind::Fork)?;
    let who = subject::<Probed>(child)?;
    let mut out = Out::new::<Fork>(Of::Fork)?;
    fill::<Probed>(&mut out, child, who, Kind::Fork);
    // The child's memory is a copy of the running parent's, at the same addresses.
    let mm: u64 = read(child, Field::TaskMm);
    let (mut path_len, mut args_len, mut flags) = (0, 0, 0);
    if mm != 0 {
        let file: u64 = read(mm, Field::MmExeFile);
        if file != 0 {
            path_len = walk(&mut out, &mut Place::of_file(child, file));
        }
    }
    let cwd_len = walk(&mut out, &mut Place::of_cwd(child));
    if mm != 0 {
        let (start, end): (u64, u64) = (read(mm, Field::MmArgStart), read(mm, Field::MmArgEnd));
        args_len = out.user_bytes::<{ FORK_ARGS as u64 }>(start, end - start);
        flags = if end - start > FORK_ARGS as u64 { CUT } else { 0 };
    }
    let ancestors = ancestors(&mut out, child);
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Fork>() = Fork { flags, path_len, cwd_len, args_len, ancestors, pad: 0 } };
    finish::<Probed>(out, child, 0);
    Some(())
}
