//! Executions.
//!
//! - `raw_tp/sched_process_exec (struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: it
//!   worked, and the task already is the new program. Tried on 6.18.
//! - `syscalls/sys_exit_execve`, `sys_exit_execveat`: it failed. A success returns through them, too,
//!   and is left to the first.

use aya_ebpf::macros::{raw_tracepoint, tracepoint};
use aya_ebpf::programs::{RawTracePointContext, TracePointContext};
use outis_abi::{ARGS, CUT, Exec, Field, Kind, MEMFD, UPPER_LAYER};

use crate::filter::wanted;
use crate::kernel::{Typed, address, arguments, current, offset, read, read_at, typed_current};
use crate::out::{Of, Out};
use crate::task::{ancestors, fill, finish, subject};
use crate::walk::{Place, walk};

const OVERLAYFS: u64 = 0x794c_7630;
const NANOSECONDS: u64 = 1_000_000_000;
/// Arguments of a failed attempt are read one by one from the caller's vector.
const VECTOR: u64 = 16;

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec_done(ctx: RawTracePointContext) -> i32 {
    done(ctx.arg(0));
    0
}

#[inline(always)]
fn done(task: u64) -> Option<()> {
    wanted(Kind::Exec)?;
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Exec>(Of::Exec)?;
    fill::<Typed>(&mut out, typed_current(), who, Kind::Exec);
    let mm: u64 = read(task, Field::TaskMm);
    let (start, end): (u64, u64) = (read(mm, Field::MmArgStart), read(mm, Field::MmArgEnd));
    program(&mut out, task, mm, |out| {
        let args = out.user_bytes::<{ ARGS as u64 }>(start, end - start);
        (args, end - start > ARGS as u64)
    });
    finish::<Typed>(out, typed_current(), 0);
    Some(())
}

/// Everything about the program a task runs; `args` appends its arguments and says whether it cut them.
#[inline(always)]
pub fn program(out: &mut Out, task: u64, mm: u64, args: impl FnOnce(&mut Out) -> (u16, bool)) {
    let file: u64 = read(mm, Field::MmExeFile);
    let path_len = if file == 0 { 0 } else { walk(out, &mut Place::of_file(task, file)) };
    let cwd_len = walk(out, &mut Place::of_cwd(task));
    let (args_len, cut) = args(out);
    let ancestors = ancestors(out, task);
    let inode: u64 = read(file, Field::FileInode);
    let time = |seconds, nanoseconds| {
        read::<u64>(inode, seconds)
            .wrapping_mul(NANOSECONDS)
            .wrapping_add(read::<u32>(inode, nanoseconds).into())
    };
    let body = Exec {
        ctime: time(Field::InodeCtime, Field::InodeCtimeNs),
        mtime: time(Field::InodeMtime, Field::InodeMtimeNs),
        result: 0,
        flags: flags(file, inode) | if cut { CUT } else { 0 },
        path_len,
        cwd_len,
        args_len,
        ancestors,
    };
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Exec>() = body };
}

#[inline(always)]
fn flags(file: u64, inode: u64) -> u32 {
    let mut flags = 0;
    let superblock: u64 = read(inode, Field::InodeSuper);
    if read::<u64>(superblock, Field::SuperMagic) == OVERLAYFS {
        // `struct ovl_inode` embeds the inode and keeps the upper dentry behind it; a file that is only
        // in the image has none, or one without an inode.
        let upper: u64 = read_at(inode + u64::from(offset(Field::InodeSize)));
        if upper != 0 && read::<u64>(upper, Field::DentryInode) != 0 {
            flags |= UPPER_LAYER;
        }
    }
    let dentry: u64 = read(address(file, Field::FilePath), Field::PathDentry);
    if dentry != 0 && read::<u64>(dentry, Field::DentryParent) == dentry {
        let name: [u8; 8] = read_at(read(dentry, Field::DentryName));
        if u64::from_ne_bytes(name) & MEMFD_MASK == MEMFD_NAME {
            flags |= MEMFD;
        }
    }
    flags
}

/// The name of every memfd starts so.
const MEMFD_NAME: u64 = u64::from_ne_bytes(*b"memfd:\0\0");
const MEMFD_MASK: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 0, 0]);

#[tracepoint]
pub fn exec_failed(ctx: TracePointContext) -> u32 {
    // SAFETY: the context of syscall tracepoints holds the number at 8 and the result at 16.
    let (number, result) = unsafe { (ctx.read_at::<i32>(8), ctx.read_at::<i64>(16)) };
    if let (Ok(number), Ok(result)) = (number, result)
        && result < 0
    {
        failed(number, result);
    }
    0
}

#[cfg(bpf_target_arch = "x86_64")]
const EXECVEAT: i32 = 322;
#[cfg(bpf_target_arch = "aarch64")]
const EXECVEAT: i32 = 281;

#[inline(always)]
fn failed(number: i32, result: i64) -> Option<()> {
    wanted(Kind::Exec)?;
    let task = current();
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Exec>(Of::Syscall)?;
    fill::<Typed>(&mut out, typed_current(), who, Kind::Exec);
    let [first, second, third, _] = arguments();
    let (path, vector) = if number == EXECVEAT { (second, third) } else { (first, second) };
    let path_len = out.user_text(path);
    let cwd_len = walk(&mut out, &mut Place::of_cwd(task));
    let (args_len, cut) = vector_text(&mut out, vector);
    let ancestors = ancestors(&mut out, task);
    let body = Exec {
        ctime: 0,
        mtime: 0,
        result: result as i32,
        flags: if cut { CUT } else { 0 },
        path_len,
        cwd_len,
        args_len,
        ancestors,
    };
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Exec>() = body };
    finish::<Typed>(out, typed_current(), number as u16);
    Some(())
}

#[inline(always)]
fn vector_text(out: &mut Out, vector: u64) -> (u16, bool) {
    let start = out.at();
    let mut i = 0;
    while i < VECTOR {
        let mut text = 0u64;
        // SAFETY: eight bytes on the stack.
        let unread = unsafe {
            aya_ebpf::helpers::generated::bpf_probe_read_user(
                (&raw mut text).cast(),
                8,
                (vector + i * 8) as *const _,
            )
        } < 0;
        if unread || text == 0 {
            return ((out.at() - start) as u16, unread);
        }
        if out.at() - start >= ARGS as u64 || out.user_text(text) == 0 {
            break;
        }
        i += 1;
    }
    ((out.at() - start) as u16, true)
}
