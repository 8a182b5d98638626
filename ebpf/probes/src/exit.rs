//! Ends of thread groups.
//!
//! `raw_tp/sched_process_exit (struct task_struct *p)`, since 6.16 with `bool group_dead`. Tried on 6.18.

use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::RawTracePointContext;
use outis_abi::{Exit, Field, Kind};

use crate::filter::wanted;
use crate::kernel::{Typed, read, typed_current};
use crate::out::{Of, Out};
use crate::task::{fill, finish, subject};

/// SIGNAL_GROUP_EXIT (`include/linux/sched/signal.h`).
const GROUP_EXIT: u32 = 4;
/// BPF_NOEXIST.
const IF_NEW: u64 = 1;

/// Groups told of lately: two threads may end at once and both be last.
#[map]
static TOLD: LruHashMap<u64, u8> = LruHashMap::with_max_entries(1024, 0);

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn exited(ctx: RawTracePointContext) -> i32 {
    told(ctx.arg(0));
    0
}

#[inline(always)]
fn told(task: u64) -> Option<()> {
    let signal: u64 = read(task, Field::TaskSignal);
    if read::<u32>(signal, Field::SignalLive) != 0 {
        return None;
    }
    let leader: u64 = read(task, Field::TaskLeader);
    if read::<u32>(signal, Field::SignalThreads) > 1 {
        let start: u64 = read(leader, Field::TaskStart);
        let group = start << 22 ^ u64::from(read::<u32>(task, Field::TaskTgid));
        TOLD.insert(group, 1, IF_NEW).ok()?;
    }
    wanted(Kind::Exit)?;
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Exit>(Of::Exit)?;
    fill::<Typed>(&mut out, typed_current(), who, Kind::Exit);
    let told_to_end = read::<u32>(signal, Field::SignalFlags) & GROUP_EXIT != 0;
    let status =
        if told_to_end { read(signal, Field::SignalExitCode) } else { read(leader, Field::TaskExitCode) };
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Exit>() = Exit { status, pad: 0 } };
    finish::<Typed>(out, typed_current(), 0);
    Some(())
}
