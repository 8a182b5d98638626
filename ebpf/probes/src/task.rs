//! Who did it.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str};
use outis_abi::{ANCESTORS, Ancestor, Counter, Field, Head, Kind, VERSION};

use crate::filter::count;
use crate::kernel::{Memory, Probed, address, own_ns, own_ns_is_initial, own_pid, present, read};
use crate::out::Out;

/// PIDTYPE_TGID (`include/linux/pid.h`, since 4.19).
const TGID: u64 = 1;
/// Namespaces may nest 32 deep; agents are looked for in the outer ones.
const NESTED: u32 = 6;

/// A thread group by its numbers.
#[derive(Clone, Copy)]
pub struct Who {
    /// In the agent's namespace.
    pub pid: u32,
    /// In its own.
    pub vpid: u32,
}

/// A task whose doings are to be told; others are counted.
#[inline(always)]
pub fn subject<M: Memory>(task: u64) -> Option<Who> {
    let who = group::<M>(task);
    if who.pid == 0 {
        count(Counter::Foreign);
        return None;
    }
    if who.pid == own_pid() {
        count(Counter::Own);
        return None;
    }
    Some(who)
}

/// The numbers of a task's thread group.
#[inline(always)]
pub fn group<M: Memory>(task: u64) -> Who {
    let signal: u64 = M::read(task, Field::TaskSignal);
    let pid: u64 = M::read_at(address(signal, Field::SignalPids) + TGID * 8);
    if own_ns_is_initial() {
        return Who { pid: M::read(task, Field::TaskTgid), vpid: innermost::<M>(pid) };
    }
    Who { pid: in_own_namespace(pid), vpid: innermost::<M>(pid) }
}

#[inline(always)]
fn number(pid: u64, level: u32) -> u64 {
    address(pid, Field::PidNumbers) + u64::from(level) * u64::from(crate::kernel::offset(Field::UpidSize))
}

#[inline(always)]
fn innermost<M: Memory>(pid: u64) -> u32 {
    let level: u32 = M::read(pid, Field::PidLevel);
    read(number(pid, level & 31), Field::UpidNr)
}

/// The agent's namespace is where one of the numbers counts; 0 when none does.
#[inline(never)]
fn in_own_namespace(pid: u64) -> u32 {
    let deepest: u32 = read(pid, Field::PidLevel);
    let mut level = 0;
    while level < NESTED {
        if level > deepest {
            break;
        }
        let upid = number(pid, level);
        let namespace: u64 = read(upid, Field::UpidNs);
        if read::<u32>(namespace, Field::PidNsInum) == own_ns() {
            return read(upid, Field::UpidNr);
        }
        level += 1;
    }
    0
}

/// Fills everything in the head but the cgroup.
#[inline(always)]
pub fn fill<M: Memory>(out: &mut Out, task: u64, who: Who, kind: Kind) {
    let leader: u64 = M::read(task, Field::TaskLeader);
    let cred: u64 = M::read(task, Field::TaskCred);
    let thread = if own_ns_is_initial() {
        M::read(task, Field::TaskPid)
    } else {
        in_own_namespace(read(task, Field::TaskThreadPid))
    };
    let parent: u64 = M::read(task, Field::TaskParent);
    let loginuid = if present(Field::TaskLoginUid) { M::read(task, Field::TaskLoginUid) } else { u32::MAX };
    let head = Head {
        len: 0,
        version: VERSION,
        kind: kind as u16,
        // SAFETY: no arguments.
        stamp: unsafe { bpf_ktime_get_boot_ns() },
        number: 0,
        start: M::read(leader, Field::TaskStart),
        cgroup: 0,
        cap_effective: M::read(cred, Field::CredCapEffective),
        pid: who.pid,
        tid: thread,
        ppid: if parent == 0 { 0 } else { parent_number::<M>(parent) },
        vpid: who.vpid,
        uid: M::read(cred, Field::CredEuid),
        gid: M::read(cred, Field::CredEgid),
        loginuid,
        tty: terminal::<M>(M::read(task, Field::TaskSignal)),
        comm: read(task, Field::TaskComm),
        cgroup_len: 0,
        syscall: 0,
        pad: 0,
    };
    // SAFETY: the head lies in the buffer and is aligned.
    unsafe { *out.head() = head };
}

/// Appends the cgroup's path, the last text of every record.
#[inline(always)]
pub fn finish<M: Memory>(mut out: Out, task: u64, syscall: u16) {
    let (id, len) = crate::cgroup::append(&mut out, crate::cgroup::node::<M>(task));
    let head = out.head();
    // SAFETY: the head lies in the buffer.
    unsafe {
        (*head).cgroup = id;
        (*head).cgroup_len = len;
        (*head).syscall = syscall;
    }
    out.submit();
}

#[inline(always)]
fn terminal<M: Memory>(signal: u64) -> u32 {
    let tty: u64 = M::read(signal, Field::SignalTty);
    if tty == 0 {
        return 0;
    }
    let driver: u64 = M::read(tty, Field::TtyDriver);
    let (major, minor): (u32, u32) = (M::read(driver, Field::TtyMajor), M::read(driver, Field::TtyMinor));
    (major << 8) | (minor + M::read::<u32>(tty, Field::TtyIndex))
}

/// A parent's number; its type is as well known as the child's.
#[inline(always)]
fn parent_number<M: Memory>(parent: u64) -> u32 {
    if own_ns_is_initial() { M::read(parent, Field::TaskTgid) } else { group::<M>(parent).pid }
}

/// Appends the parents, nearest first; how many.
#[inline(never)]
pub fn ancestors(out: &mut Out, task: u64) -> u16 {
    let mut told = 0;
    let mut task: u64 = read(task, Field::TaskLeader);
    while told < ANCESTORS as u16 {
        let parent: u64 = read(task, Field::TaskParent);
        task = read(parent, Field::TaskLeader);
        // The idle task is everybody's last ancestor, and its own.
        if task == 0 || read::<u32>(task, Field::TaskPid) == 0 {
            break;
        }
        let Some(to) = out.room() else { break };
        let to: *mut Ancestor = to.cast();
        let file: u64 = read(read(task, Field::TaskMm), Field::MmExeFile);
        let dentry: u64 = read(address(file, Field::FilePath), Field::PathDentry);
        let name: u64 = if file == 0 { 0 } else { read(dentry, Field::DentryName) };
        // SAFETY: an ancestor's 64 bytes fit into a step; byte-wise, for texts may end anywhere.
        unsafe {
            core::ptr::write_unaligned(
                to,
                Ancestor {
                    start: read(task, Field::TaskStart),
                    pid: group::<Probed>(task).pid,
                    pad: 0,
                    comm: read(task, Field::TaskComm),
                    exe: [0; 32],
                },
            );
            bpf_probe_read_kernel_str((&raw mut (*to).exe).cast(), 32, name as *const _);
        }
        out.advance(size_of::<Ancestor>() as u64);
        told += 1;
    }
    told
}
