//! Opens.
//!
//! `syscalls/sys_exit_open`, `sys_exit_openat`, `sys_exit_openat2`, `sys_exit_creat` (x86_64; the second
//! and third alone on arm64). On the way out only: the file is there to be asked where it lies, so a
//! caller that changes its path meanwhile deceives itself alone. Tried on 6.18.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use outis_abi::{Counter, Field, Kind, OPENS_NONE, Open};

use crate::filter::{count, passes_unseen, walked_is_listed, wanted, written_is_listed};
use crate::kernel::{Memory, Typed, arguments, current, read_at, typed_current};
use crate::out::{Of, Out};
use crate::task::{fill, finish, subject};
use crate::walk::{Place, walk};

#[cfg(bpf_target_arch = "x86_64")]
mod number {
    pub(super) const OPEN: i32 = 2;
    pub(super) const CREAT: i32 = 85;
    pub(super) const OPENAT2: i32 = 437;
}
#[cfg(bpf_target_arch = "aarch64")]
mod number {
    pub(super) const OPEN: i32 = -1;
    pub(super) const CREAT: i32 = -2;
    pub(super) const OPENAT2: i32 = 437;
}

const AT_FDCWD: i32 = -100;
/// What `creat` stands for: O_CREAT | O_WRONLY | O_TRUNC.
const CREATED: u32 = 0o1101;

#[tracepoint]
pub fn opened(ctx: TracePointContext) -> u32 {
    // SAFETY: the context of syscall tracepoints holds the number at 8 and the result at 16.
    let (number, result) = unsafe { (ctx.read_at::<i32>(8), ctx.read_at::<i64>(16)) };
    if let (Ok(number), Ok(result)) = (number, result) {
        told(number, result as i32);
    }
    0
}

/// What was asked for.
struct Asked {
    dirfd: i32,
    path: u64,
    flags: u32,
    mode: u32,
}

#[inline(always)]
fn asked(number: i32) -> Asked {
    let [a, b, c, d] = arguments();
    match number {
        number::OPEN => Asked { dirfd: AT_FDCWD, path: a, flags: b as u32, mode: c as u32 },
        number::CREAT => Asked { dirfd: AT_FDCWD, path: a, flags: CREATED, mode: b as u32 },
        number::OPENAT2 => {
            let mut how = [0u64; 2];
            // SAFETY: the first two members of `struct open_how`, on the stack.
            unsafe { bpf_probe_read_user((&raw mut how).cast(), 16, c as *const _) };
            Asked { dirfd: a as i32, path: b, flags: how[0] as u32, mode: how[1] as u32 }
        }
        _ => Asked { dirfd: a as i32, path: b, flags: c as u32, mode: d as u32 },
    }
}

#[inline(always)]
fn told(number: i32, result: i32) -> Option<()> {
    let config = wanted(Kind::Open)?;
    if config.opens == OPENS_NONE {
        count(Counter::Filtered);
        return None;
    }
    let task = current();
    let asked = asked(number);
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Open>(Of::Syscall)?;
    let raw_at = out.address();
    let raw_len = out.user_text(asked.path);
    let walked_at = out.address();
    let file = if result >= 0 { file(result as u32) } else { 0 };
    // A failed attempt has no file, but its directory can be told.
    let told = if result < 0 && asked.dirfd >= 0 { crate::open::file(asked.dirfd as u32) } else { file };
    let path_len = if told == 0 { 0 } else { walk(&mut out, &mut Place::of_file(task, told)) };
    if !passes_unseen(&config, asked.flags) {
        let listed = (file != 0 && walked_is_listed(walked_at, config.suffixes))
            || (raw_len > 0
                && absolute_or_failed(raw_at, file)
                && written_is_listed(raw_at, raw_len.into(), config.suffixes));
        if !listed {
            count(Counter::Filtered);
            return None;
        }
    }
    let cwd_len = walk(&mut out, &mut Place::of_cwd(task));
    fill::<Typed>(&mut out, typed_current(), who, Kind::Open);
    let Asked { dirfd, flags, mode, .. } = asked;
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Open>() = Open { result, dirfd, flags, mode, raw_len, path_len, cwd_len, pad: 0 } };
    finish::<Typed>(out, typed_current(), number as u16);
    Some(())
}

/// A relative path whose file was walked needs no second look.
#[inline(always)]
fn absolute_or_failed(raw: u64, file: u64) -> bool {
    file == 0 || read_at::<u8>(raw) == b'/'
}

/// The file behind one of the running task's descriptors; 0 for none.
#[inline(always)]
pub fn file(descriptor: u32) -> u64 {
    let table: u64 = Typed::read(Typed::read(typed_current(), Field::TaskFiles), Field::FilesTable);
    if descriptor >= Typed::read::<u32>(table, Field::TableMax) {
        return 0;
    }
    let array: u64 = Typed::read(table, Field::TableFd);
    read_at(array + u64::from(descriptor) * 8)
}
