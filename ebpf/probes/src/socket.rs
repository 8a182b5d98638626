//! Connects and accepts.
//!
//! `syscalls/sys_exit_connect`, `sys_exit_accept`, `sys_exit_accept4`. On the way out, when the socket
//! knows both ends. Tried on 6.18.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use outis_abi::{Field, Kind, Socket};

use crate::filter::wanted;
use crate::kernel::{Typed, address, arguments, present, read, read_at, typed_current};
use crate::open::file;
use crate::out::{Of, Out};
use crate::task::{fill, finish, subject};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Where the path stands in `sockaddr_un`, and its greatest length.
const SUN_PATH: u64 = 2;
const SUN_LEN: u64 = 108;
/// S_IFMT and S_IFSOCK.
const TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

#[tracepoint]
pub fn connected(ctx: TracePointContext) -> u32 {
    // SAFETY: the context of syscall tracepoints holds the number at 8 and the result at 16.
    if let (Ok(number), Ok(result)) = unsafe { (ctx.read_at::<i32>(8), ctx.read_at::<i64>(16)) } {
        connect(number, result as i32);
    }
    0
}

#[tracepoint]
pub fn accepted(ctx: TracePointContext) -> u32 {
    // SAFETY: as above.
    if let (Ok(number), Ok(result)) = unsafe { (ctx.read_at::<i32>(8), ctx.read_at::<i64>(16)) } {
        accept(number, result as i32);
    }
    0
}

#[inline(always)]
fn connect(number: i32, result: i32) -> Option<()> {
    wanted(Kind::Connect)?;
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Socket>(Of::Syscall)?;
    fill::<Typed>(&mut out, typed_current(), who, Kind::Connect);
    let [fd, name, len, _] = arguments();
    let mut body = ends(fd as u32);
    body.result = result;
    body.fd = fd as i32;
    let mut wanted_name = [0u8; 28];
    // SAFETY: `sockaddr_in6`, the longest of those looked at, on the stack.
    unsafe { bpf_probe_read_user(wanted_name.as_mut_ptr().cast(), 28, name as *const _) };
    let family = u16::from_ne_bytes([wanted_name[0], wanted_name[1]]);
    if family == AF_UNIX {
        body.family = AF_UNIX;
        let len = if len > SUN_PATH { len - SUN_PATH } else { 0 };
        body.unix_len = out.user_bytes::<SUN_LEN>(name + SUN_PATH, len);
    } else if body.peer_port == 0 {
        // A refused socket has forgotten whom it asked for.
        asked(&mut body, family, &wanted_name);
    }
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Socket>() = body };
    finish::<Typed>(out, typed_current(), number as u16);
    Some(())
}

#[inline(always)]
fn asked(body: &mut Socket, family: u16, name: &[u8; 28]) {
    body.peer_port = u16::from_be_bytes([name[2], name[3]]);
    if family == AF_INET {
        body.peer = [0; 16];
        body.peer[0] = name[4];
        body.peer[1] = name[5];
        body.peer[2] = name[6];
        body.peer[3] = name[7];
        body.family = family;
    } else if family == AF_INET6 {
        let mut i = 0;
        while i < 16 {
            body.peer[i] = name[8 + i];
            i += 1;
        }
        body.family = family;
    }
}

#[inline(always)]
fn accept(number: i32, result: i32) -> Option<()> {
    wanted(Kind::Accept)?;
    let who = subject::<Typed>(typed_current())?;
    let mut out = Out::new::<Socket>(Of::Syscall)?;
    fill::<Typed>(&mut out, typed_current(), who, Kind::Accept);
    let [listener, ..] = arguments();
    // A failed accept tells of the listening socket.
    let fd = if result < 0 { listener as i32 } else { result };
    let mut body = ends(fd as u32);
    body.result = result;
    body.fd = fd;
    if body.family == AF_UNIX && present(Field::UnixAddress) {
        let bound: u64 = read(sock(fd as u32), Field::UnixAddress);
        if bound != 0 {
            let len: u32 = read(bound, Field::UnixLen);
            let len = if u64::from(len) > SUN_PATH { len - SUN_PATH as u32 } else { 0 };
            let len = if u64::from(len) > SUN_LEN { SUN_LEN as u32 } else { len };
            body.unix_len = out.kernel_bytes(address(bound, Field::UnixName) + SUN_PATH, len);
        }
    }
    // SAFETY: the body lies in the buffer.
    unsafe { *out.body::<Socket>() = body };
    finish::<Typed>(out, typed_current(), number as u16);
    Some(())
}

/// The `struct sock` behind a descriptor; 0 when it is no socket.
#[inline(always)]
fn sock(fd: u32) -> u64 {
    let file = file(fd);
    let inode: u64 = read(file, Field::FileInode);
    if file == 0 || read::<u16>(inode, Field::InodeMode) & TYPE != SOCKET {
        return 0;
    }
    read(read(file, Field::FilePrivate), Field::SocketSock)
}

/// Both ends as the socket has them.
#[inline(always)]
fn ends(fd: u32) -> Socket {
    let sock = sock(fd);
    let mut ends = Socket {
        cookie: 0,
        result: 0,
        fd: 0,
        family: 0,
        protocol: 0,
        local_port: 0,
        peer_port: 0,
        local: [0; 16],
        peer: [0; 16],
        unix_len: 0,
        pad: [0; 3],
    };
    if sock == 0 {
        return ends;
    }
    ends.family = read(sock, Field::SockFamily);
    ends.protocol = read(sock, Field::SockProtocol);
    ends.cookie = read(sock, Field::SockCookie);
    if ends.family == AF_INET || ends.family == AF_INET6 {
        ends.local_port = read(sock, Field::SockSport);
        ends.peer_port = u16::from_be(read(sock, Field::SockDport));
    }
    if ends.family == AF_INET {
        let (local, peer): ([u8; 4], [u8; 4]) = (read(sock, Field::SockSaddr), read(sock, Field::SockDaddr));
        ends.local[..4].copy_from_slice(&local);
        ends.peer[..4].copy_from_slice(&peer);
    } else if ends.family == AF_INET6 && present(Field::SockDaddr6) {
        ends.local = read_at(address(sock, Field::SockSaddr6));
        ends.peer = read_at(address(sock, Field::SockDaddr6));
    }
    ends
}
