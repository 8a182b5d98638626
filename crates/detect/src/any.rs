//! Conditions and events for property tests: few values of each kind, so that they often meet.

use std::sync::Arc;

use outis_model::Timestamp;
use outis_model::event::{
    Ancestor, Event, Exec, Fork, Open, Place, PodRef, Socket, Task, Transport, What, Workload,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Checks that hold often enough to matter; those a kernel filter can be made of are all here.
const CHECKS: &[&str] = &[
    "evt.type = openat",
    "evt.type in (open, openat, connect)",
    "evt.type != connect",
    "evt.type in (execve, dup)",
    "evt.is_open_read = true",
    "evt.is_open_read = false",
    "evt.is_open_write != true",
    "evt.is_open_write = true",
    "fd.num >= 0",
    "fd.num > -1",
    "fd.num = -1",
    "fd.num < 0",
    "fd.num != 3",
    "evt.rawres >= 0",
    "evt.rawres < 0",
    "evt.rawres exists",
    "evt.res = SUCCESS",
    "evt.res != SUCCESS",
    "evt.res startswith E",
    "evt.res = EINPROGRESS",
    "evt.failed = true",
    "evt.failed != true",
    "evt.arg.flags contains O_TRUNC",
    "evt.num = 0",
    "evt.num >= 0",
    "fd.name = /etc/shadow",
    "fd.name != /etc/shadow",
    "fd.name startswith /etc",
    "fd.name endswith shadow",
    "fd.name contains .ssh",
    "fd.name icontains SHADOW",
    "fd.name glob /home/*/.ssh/*",
    "fd.name pmatch (/etc, /var/log)",
    "fd.name in (/etc/shadow, /var/log/a)",
    "fd.name exists",
    "fd.nameraw contains ../",
    "fd.directory = /etc",
    "fd.directory in (/etc, /)",
    "fd.directory startswith /e",
    "fd.directory endswith log",
    "fd.filename = shadow",
    "fd.filename startswith id",
    "fd.filename contains ad",
    "fd.filename != shadow",
    "fd.typechar = f",
    "fd.typechar in (4, 6)",
    "fd.typechar = u",
    "fd.typechar != 4",
    "fd.type = ipv6",
    "fd.type in (ipv4, unix)",
    "fd.ip = 10.0.0.1",
    "fd.ip != 10.0.0.1",
    "fd.snet in (10.0.0.0/8)",
    "fd.sport = 443",
    "fd.rport != 443",
    "fd.is_server = true",
    "fd.l4proto = tcp",
    "container.id = host",
    "container.id != host",
    "container.id in (host)",
    "container.id in (host, unknown)",
    "container.id startswith 01",
    "container.image.repository = a",
    "container.image.repository != a",
    "container.image.repository in (a, c)",
    "container.privileged = true",
    "k8s.ns.name exists",
    "k8s.ns.name = shop",
    "proc.name = sh",
    "proc.name != sh",
    "proc.tty != 0",
    "proc.aname = sshd",
    "proc.pname exists",
    "proc.args contains -c",
    "proc.is_exe_upper_layer = true",
    "proc.is_exe_upper_layer != true",
    "user.uid = 0",
    "tolower(proc.name) = sh",
    "len(fd.name) > 8",
];

/// A condition of a few checks.
pub(crate) fn condition() -> impl Strategy<Value = String> {
    let leaf = select(CHECKS).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" and "))),
            2 => vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" or "))),
            1 => inner.prop_map(|one| format!("not {one}")),
        ]
    })
}

/// A rule file of one rule per condition.
pub(crate) fn file(conditions: &[String]) -> crate::Source {
    let rule = |(index, condition): (usize, &String)| {
        format!("- {{rule: r{index}, desc: d, output: o, priority: INFO, condition: \"{condition}\"}}\n")
    };
    crate::Source::new("any.yaml", conditions.iter().enumerate().map(rule).collect::<String>())
}

/// An event of any kind.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    (task(), place(), what()).prop_map(|(task, place, what)| Event {
        stamp: 2_000,
        time: Timestamp::UNIX_EPOCH,
        number: 7,
        task,
        place,
        what,
    })
}

fn task() -> impl Strategy<Value = Task> {
    (1..4u32, select(&["sh", "bash", "cat", "sudo", "SH"]), select(&[0, 0x8801u32]), select(&[0, 33u32]))
        .prop_map(|(pid, comm, tty, uid)| Task {
            pid,
            tid: pid,
            start: 1,
            tty,
            uid,
            comm: comm.into(),
            ..Task::default()
        })
}

fn place() -> impl Strategy<Value = Place> {
    let workload = (option::of(select(&["a", "b"])), any::<bool>(), any::<bool>()).prop_map(
        |(image, privileged, pod)| {
            Place::Container(Arc::new(Workload {
                container: "0123456789abcdef".parse().expect("an id"),
                container_name: None,
                image_repository: image.map(str::to_owned),
                image_tag: None,
                privileged,
                pod: pod.then(self::pod),
                start: 0,
            }))
        },
    );
    prop_oneof![Just(Place::Host), Just(Place::Unknown("late".into())), workload]
}

fn pod() -> PodRef {
    PodRef {
        namespace: "shop".parse().expect("a namespace"),
        name: "web-1".parse().expect("a name"),
        uid: "d290f1ee-6c54-4b01-90e6-d701748f0851".parse().expect("a uid"),
        service_account: "web".parse().expect("a name"),
        node: "node-1".parse().expect("a name"),
    }
}

fn ancestors() -> impl Strategy<Value = Vec<Ancestor>> {
    vec(select(&["sh", "sshd", "runc"]), 0..3).prop_map(|names| {
        names.iter().map(|name| Ancestor { pid: 9, start: 1, comm: (*name).into(), exe: None }).collect()
    })
}

const PATHS: &[&str] = &[
    "/etc/shadow",
    "/etc/../etc/./shadow",
    "/etc/passwd",
    "/etc",
    "/",
    "/var/log/a",
    "/home/u/.ssh/id_rsa",
    "/srv//etc/shadow",
    "etc/shadow",
    "",
    "shadow",
];

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => (select(&["execve", "execveat"]), select(&[0, -2]), any::<bool>(), ancestors()).prop_map(
            |(syscall, result, upper_layer, ancestors)| What::Exec(Box::new(Exec {
                syscall: syscall.into(),
                result,
                exe_path: "/bin/sh".into(),
                args: vec!["sh".into(), "-c".into()],
                upper_layer,
                ancestors,
                ..Exec::default()
            }))
        ),
        4 => open().prop_map(|open| What::Open(Box::new(open))),
        3 => socket(&["connect"]).prop_map(|socket| What::Connect(Box::new(socket))),
        2 => socket(&["accept", "accept4"]).prop_map(|socket| What::Accept(Box::new(socket))),
        1 => (select(&["fork", "clone", "clone3", "vfork"]), ancestors()).prop_map(|(syscall, ancestors)| {
            What::Fork(Box::new(Fork { syscall: syscall.into(), ancestors, ..Fork::default() }))
        }),
        1 => Just(What::Exit { status: 0 }),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    let flags = select(&[0, 1, 2, 3, 0o1101, 0o200_000, 0o1002u32]);
    (select(&["open", "openat", "openat2", "creat"]), select(PATHS), flags, select(&[0, 3, -1, -2, -13]))
        .prop_map(|(syscall, path, flags, result)| Open {
            syscall: syscall.into(),
            result,
            raw: format!("..{path}"),
            path: path.into(),
            flags,
            ..Open::default()
        })
}

fn socket(syscalls: &'static [&'static str]) -> impl Strategy<Value = Socket> {
    let ends = &["10.0.0.1:443", "192.0.2.1:5000", "[::ffff:10.0.0.1]:443", "[2001:db8::1]:443"];
    let end = || option::of(select(ends).prop_map(|end| end.parse().expect("an address")));
    let transport = select(&[Transport::Tcp, Transport::Udp, Transport::Unknown]);
    (
        select(syscalls),
        end(),
        end(),
        option::of(Just("/run/x".to_owned())),
        select(&[0, 5, -111, -115]),
        transport,
    )
        .prop_map(|(syscall, local, peer, unix, result, transport)| Socket {
            syscall: syscall.into(),
            fd: 5,
            result,
            transport,
            local,
            peer,
            unix,
            cookie: 1,
        })
}
