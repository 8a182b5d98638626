use super::*;
use proptest::prelude::*;

fn head(kind: Kind, syscall: u16) -> Head {
    let mut comm = [0; 16];
    comm[..3].copy_from_slice(b"cat");
    Head {
        len: 0,
        version: abi::VERSION,
        kind: kind as u16,
        stamp: 5_000_000_000,
        number: 7,
        start: 4_000_000_000,
        cgroup: 99,
        cap_effective: 1 << 21,
        pid: 42,
        tid: 43,
        ppid: 41,
        vpid: 2,
        uid: 1000,
        gid: 1001,
        loginuid: u32::MAX,
        tty: 34817,
        comm,
        cgroup_len: CGROUP.len() as u16,
        syscall,
        pad: 0,
    }
}

const CGROUP: &[u8] = b"sshd.service\0system.slice\0/";

/// A record as the kernel would have written it.
fn record(head: Head, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.write(&mut bytes);
    body(&mut bytes);
    bytes.extend(CGROUP);
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

fn told(bytes: &[u8]) -> What {
    decode(bytes, &Clock::started_at(Timestamp::UNIX_EPOCH)).unwrap().event.what
}

fn an_open(result: i32, dirfd: i32, raw: &str, walked: &[u8]) -> Vec<u8> {
    let (raw_len, path_len, cwd_len) = (raw.len() as u16 + 1, walked.len() as u16, 9);
    record(head(Kind::Open, 257), |bytes| {
        abi::Open { result, dirfd, flags: 1, mode: 0o644, raw_len, path_len, cwd_len, pad: 0 }.write(bytes);
        bytes.extend(raw.as_bytes());
        bytes.push(0);
        bytes.extend(walked);
        bytes.extend(b"www\0var\0/");
    })
}

#[test]
fn the_task_and_its_cgroup_are_read() {
    let exit = record(head(Kind::Exit, 0), |bytes| abi::Exit { status: 256, pad: 0 }.write(bytes));
    let clock = Clock::started_at(Timestamp::UNIX_EPOCH);
    let decoded = decode(&exit, &clock).unwrap();
    assert_eq!((decoded.cgroup, decoded.cgroup_path.as_str()), (99, "/system.slice/sshd.service"));
    let event = decoded.event;
    assert_eq!(event.time.to_string(), "1970-01-01T00:00:05Z");
    assert_eq!((event.stamp, event.number), (5_000_000_000, 7));
    assert_eq!((event.task.pid, event.task.tid, event.task.ppid, event.task.vpid), (42, 43, 41, 2));
    assert_eq!((event.task.comm.as_str(), event.task.tty), ("cat", 34817));
    assert_eq!(event.what, What::Exit { status: 256 });
}

#[test]
fn an_open_is_told_by_its_file_and_a_failed_one_by_what_was_written() {
    let path = |bytes: &[u8]| match told(bytes) {
        What::Open(open) => (open.raw, open.path),
        other => panic!("{other:?}"),
    };
    let opened = an_open(3, -100, "../../etc/passwd", b"passwd\0etc\0/");
    assert_eq!(path(&opened), ("../../etc/passwd".into(), "/etc/passwd".into()));
    let failed = an_open(-2, -100, "../../etc/none", b"");
    assert_eq!(path(&failed), ("../../etc/none".into(), "/etc/none".into()));
    let below = an_open(-2, 5, "none", b"log\0var\0/");
    assert_eq!(path(&below), ("none".into(), "/var/log/none".into()));
}

#[test]
fn an_execution_is_told_whole() {
    let mut exe = [0; 32];
    exe[..4].copy_from_slice(b"bash");
    let bytes = record(head(Kind::Exec, 0), |bytes| {
        let flags = abi::UPPER_LAYER | abi::CUT;
        let (path_len, cwd_len, args_len) = (9, 1, 8);
        abi::Exec { ctime: 1, mtime: 2, result: 0, flags, path_len, cwd_len, args_len, ancestors: 1 }
            .write(bytes);
        bytes.extend(b"cat\0bin\0/");
        bytes.extend(b"/");
        bytes.extend(b"cat\0\0-n\0");
        abi::Ancestor { start: 3, pid: 41, pad: 0, comm: [b'x'; 16], exe }.write(bytes);
    });
    let What::Exec(exec) = told(&bytes) else { panic!("{bytes:?}") };
    assert_eq!((exec.exe_path.as_str(), exec.cwd.as_str()), ("/bin/cat", "/"));
    assert_eq!(exec.args, ["cat", "", "-n"]);
    assert!(exec.upper_layer && exec.cut && !exec.memfd);
    let ancestor = Ancestor { pid: 41, start: 3, comm: "x".repeat(16), exe: Some("bash".into()) };
    assert_eq!(exec.ancestors, [ancestor]);
}

#[test]
fn sockets_are_told_by_family() {
    let socket = |family, protocol, unix: &[u8]| {
        let mut peer = [0; 16];
        peer[..4].copy_from_slice(&[10, 0, 0, 1]);
        let bytes = record(head(Kind::Connect, 42), |bytes| {
            abi::Socket {
                cookie: 0,
                result: -115,
                fd: 3,
                family,
                protocol,
                local_port: 0,
                peer_port: 443,
                local: [0; 16],
                peer,
                unix_len: unix.len() as u16,
                pad: [0; 3],
            }
            .write(bytes);
            bytes.extend(unix);
        });
        let What::Connect(socket) = told(&bytes) else { panic!("{bytes:?}") };
        *socket
    };
    let v4 = socket(INET, 6, b"");
    assert_eq!((v4.peer.unwrap().to_string().as_str(), v4.local), ("10.0.0.1:443", None));
    assert_eq!((v4.transport, v4.result), (Transport::Tcp, -115));
    assert_eq!(socket(UNIX, 0, b"/run/x\0junk").unix.as_deref(), Some("/run/x"));
    assert_eq!(socket(UNIX, 0, b"\0bus\0\0").unix.as_deref(), Some("@bus"));
    assert_eq!(socket(16, 15, b"").transport, Transport::Other(15));
}

#[test]
fn foreign_records_are_refused_by_name() {
    let clock = Clock::now();
    let mut exit = record(head(Kind::Exit, 0), |bytes| abi::Exit { status: 0, pad: 0 }.write(bytes));
    assert_eq!(decode(&exit[..50], &clock), Err(DecodeError::Cut));
    exit[6] = 77;
    assert_eq!(decode(&exit, &clock), Err(DecodeError::Kind(77)));
    exit[4] = 9;
    assert_eq!(decode(&exit, &clock), Err(DecodeError::Version { found: 9 }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in 0_u16..8, rest in proptest::collection::vec(any::<u8>(), 0..700)) {
        let clock = Clock::now();
        let _ = decode(&rest, &clock);
        let mut bytes = Vec::new();
        Head { kind, ..head(Kind::Exec, 0) }.write(&mut bytes);
        bytes.extend(rest);
        let _ = decode(&bytes, &clock);
    }
}
