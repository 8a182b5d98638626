//! What conditions mean: each operator, each kind of value, and what is missing.

use std::sync::Arc;

use outis_detect::{Accounts, Knowledge, Partition, step};
use outis_model::Timestamp;
use outis_model::event::{Ancestor, Event, Exec, Open, Place, Socket, Task, Transport, What, Workload};

use crate::{compiled, rule};

/// `sh -c 'cat X'` run by a server below a login.
fn exec() -> What {
    let ancestor =
        |pid, comm: &str| Ancestor { pid, start: u64::from(pid), comm: comm.into(), exe: Some(comm.into()) };
    What::Exec(Box::new(Exec {
        syscall: "execve".into(),
        exe_path: "/usr/bin/Sh".into(),
        args: ["Sh", "-c", "cat aGVsbG8="].map(str::to_owned).into(),
        cwd: "/srv".into(),
        ancestors: vec![ancestor(8, "nginx"), ancestor(7, "sshd"), ancestor(1, "systemd")],
        ..Exec::default()
    }))
}

fn open() -> What {
    What::Open(Box::new(Open {
        syscall: "openat".into(),
        result: 3,
        raw: "../etc/shadow".into(),
        path: "/etc/shadow".into(),
        flags: 0o1101,
        ..Open::default()
    }))
}

fn connect(local: &str, peer: &str) -> What {
    What::Connect(Box::new(Socket {
        syscall: "connect".into(),
        fd: 5,
        result: -115,
        transport: Transport::Tcp,
        local: local.parse().ok(),
        peer: peer.parse().ok(),
        unix: None,
        cookie: 1,
    }))
}

fn holds(condition: &str, what: &What) -> bool {
    let task = Task { pid: 9, tid: 9, start: 500, comm: "Sh".into(), cap_effective: 3, ..Task::default() };
    let time = Timestamp::UNIX_EPOCH;
    let event = Event { stamp: 1_500, time, number: 0, task, place: Place::Host, what: what.clone() };
    let rules = compiled(&[&rule(condition)]);
    assert_eq!(rules.infos()[0].state.to_string(), "active", "{condition}");
    !step(&rules, &mut Partition::default(), &event).is_empty()
}

fn check(what: &What, table: &[(&str, bool)]) {
    for (condition, expected) in table {
        assert_eq!(holds(condition, what), *expected, "{condition}");
    }
}

#[test]
fn texts() {
    check(
        &exec(),
        &[
            ("proc.name = Sh", true),
            ("proc.name == sh", false),
            ("proc.name != sh", true),
            ("proc.exepath contains bin", true),
            ("proc.exepath contains BIN", false),
            ("proc.exepath icontains BIN", true),
            ("proc.exepath startswith /usr", true),
            ("proc.exepath startswith usr", false),
            ("proc.exepath endswith Sh", true),
            ("proc.exepath endswith S", false),
            ("proc.exepath bcontains 2f62696e", true),
            ("proc.exepath bstartswith 2f75", true),
            ("proc.exepath bstartswith 75", false),
            ("proc.exepath glob /usr/*/S?", true),
            ("proc.exepath glob /usr/*/s?", false),
            ("proc.exepath iglob /USR/*/s?", true),
            ("proc.exepath regex \"/usr/(bin|sbin)/.+\"", true),
            ("proc.exepath regex bin", false),
            ("proc.name in (a, Sh)", true),
            ("proc.name in ()", false),
            ("proc.name in (\"Sh\")", true),
            ("proc.exepath pmatch (/usr, /opt)", true),
            ("proc.exepath pmatch (/us)", false),
            ("proc.name intersects (Sh, x)", true),
            ("proc.name exists", true),
        ],
    );
}

#[test]
fn transformers_and_other_fields() {
    check(
        &exec(),
        &[
            ("tolower(proc.name) = sh", true),
            ("toupper(proc.name) = SH", true),
            ("basename(proc.exepath) = Sh", true),
            ("len(proc.name) = 2", true),
            ("len(proc.name) > 2", false),
            ("b64(proc.name) = x", false),
            ("len(proc.aname) = 3", true),
            ("len(proc.aname) = 0", false),
            ("proc.name = val(proc.exe)", true),
            ("proc.exepath endswith val(proc.name)", true),
            ("proc.name = tolower(proc.name)", false),
            ("proc.ppid < val(proc.pid)", true),
            ("proc.aname = val(proc.pname)", true),
            ("proc.aname = val(proc.name)", false),
            // The event is at the epoch, 1,500 ns after boot; its process began at 500.
            ("evt.rawtime = 0", true),
            ("proc.pid.ts = -1000", true),
            ("evt.time.iso8601 startswith 1970-01-01T00:00:00", true),
            ("evt.args contains Sh", true),
            ("evt.hostname exists", false),
        ],
    );
    check(
        &open(),
        &[
            ("evt.is_open_write = val(evt.is_open_create)", true),
            ("evt.is_open_write = val(evt.is_open_read)", false),
            ("evt.is_open_write != val(evt.is_open_read)", true),
        ],
    );
    check(
        &connect("10.0.0.1:40000", "192.0.2.9:443"),
        &[
            ("fd.ip = val(fd.cip)", true),
            ("fd.sip = val(fd.cip)", false),
            ("fd.sip != val(fd.cip)", true),
            ("fd.ip != val(fd.cip)", false),
        ],
    );
}

#[test]
fn names_are_those_the_partition_was_told() {
    let told = Knowledge {
        hostname: Some("node-1".into()),
        node: Accounts { users: [(7, "ann".into())].into(), groups: [(8, "staff".into())].into() },
        ..Knowledge::default()
    };
    let task = Task {
        pid: 9,
        tid: 9,
        start: 500,
        uid: 7,
        gid: 8,
        loginuid: 7,
        comm: "Sh".into(),
        ..Task::default()
    };
    let time = Timestamp::from_second(5).expect("time");
    let event = Event { stamp: 1_500, time, number: 0, task, place: Place::Host, what: exec() };
    for (condition, unknown) in [
        ("evt.hostname = node-1", false),
        ("user.name = ann", false),
        ("user.loginname = ann", false),
        ("group.name = staff", false),
        ("evt.rawtime = 5000000000 and proc.pid.ts = 4999999000", true),
        ("group.gid = 8 and user.uid = 7 and user.loginuid = 7", true),
    ] {
        let rules = compiled(&[&rule(condition)]);
        let mut partition = Partition::default();
        assert_eq!(!step(&rules, &mut partition, &event).is_empty(), unknown, "{condition}");
        partition.know(Arc::new(told.clone()));
        assert!(!step(&rules, &mut partition, &event).is_empty(), "{condition}");
    }
}

#[test]
fn a_container_says_all_that_is_known_of_it() {
    let id = "0123456789ab".to_owned() + &"cd".repeat(26);
    let workload = Workload {
        container: id.parse().expect("an id"),
        container_name: Some("web".into()),
        image_repository: Some("registry/web".into()),
        image_tag: Some("1".into()),
        privileged: true,
        pod: None,
        start: 1_000,
    };
    let known = Knowledge {
        containers: [(
            workload.container.clone(),
            Accounts { users: [(7, "app".into())].into(), groups: [(8, "apps".into())].into() },
        )]
        .into(),
        node: Accounts { users: [(7, "ann".into())].into(), groups: [(8, "staff".into())].into() },
        ..Knowledge::default()
    };
    let task = Task {
        pid: 9,
        tid: 9,
        start: 500,
        uid: 7,
        gid: 8,
        loginuid: u32::MAX,
        comm: "Sh".into(),
        ..Task::default()
    };
    let place = Place::Container(Arc::new(workload));
    let event = Event { stamp: 1_500, time: Timestamp::UNIX_EPOCH, number: 0, task, place, what: exec() };
    for condition in [
        "container.id = 0123456789ab",
        &format!("container.full_id = {id}"),
        "container.name = web",
        "container.image = registry/web:1",
        "container.image.repository = registry/web and container.image.tag = 1",
        "container.privileged = true",
        // It began 500 ns before the event, which is at the epoch.
        "container.start_ts = -500 and container.duration = 500",
        "user.name = app and group.name = apps",
        "user.loginuid = -1 and not user.loginname exists",
    ] {
        let mut partition = Partition::default();
        partition.know(Arc::new(known.clone()));
        assert!(!step(&compiled(&[&rule(condition)]), &mut partition, &event).is_empty(), "{condition}");
    }
}

#[test]
fn a_text_in_base64_is_read() {
    let decodes = |name: &str| {
        let What::Exec(exec) = exec() else { unreachable!("just made") };
        let task = Task { pid: 9, tid: 9, start: 500, comm: name.into(), ..Task::default() };
        let event = Event {
            stamp: 1_500,
            time: Timestamp::UNIX_EPOCH,
            number: 0,
            task,
            place: Place::Host,
            what: What::Exec(Box::new(Exec { exe_path: name.into(), args: vec![name.into()], ..*exec })),
        };
        !step(&compiled(&[&rule("b64(proc.exe) = hello")]), &mut Partition::default(), &event).is_empty()
    };
    assert!(decodes("aGVsbG8="));
    assert!(!decodes("aGVsbG8h") && !decodes("hello"));
}

#[test]
fn numbers_and_flags() {
    check(
        &exec(),
        &[
            ("proc.duration = 1000", true),
            ("proc.duration <= 1000", true),
            ("proc.duration < 1000", false),
            ("proc.duration >= 0x3e8", true),
            ("proc.duration > 1000", false),
            ("proc.pid in (1, 9)", true),
            ("proc.pid != 9", false),
            ("evt.rawres > -1", true),
            ("user.uid = 0 and user.name = root", true),
            ("user.loginuid = 0", true),
            ("evt.failed = false", true),
            ("proc.is_exe_upper_layer = true", false),
            ("proc.is_exe_upper_layer != true", true),
            ("thread.cap_effective = \"CAP_CHOWN CAP_DAC_OVERRIDE\"", true),
            ("evt.num = 1", true),
        ],
    );
}

#[test]
fn ancestors() {
    check(
        &exec(),
        &[
            ("proc.aname = sshd", true),
            ("proc.aname in (x, systemd)", true),
            ("proc.aname contains gin", true),
            ("proc.aname = Sh", false),
            ("proc.aname[0] = Sh", true),
            ("proc.aname[1] = nginx and proc.pname = nginx", true),
            ("proc.aname[2] = sshd", true),
            ("proc.apid[3] = 1", true),
            ("proc.aname[4] exists", false),
            ("proc.args = \"-c cat aGVsbG8=\"", true),
            ("proc.cmdline = \"Sh -c cat aGVsbG8=\"", true),
            ("proc.cwd = /srv/", true),
        ],
    );
}

#[test]
fn files() {
    check(
        &open(),
        &[
            ("evt.type = openat", true),
            ("evt.type in (open, openat)", true),
            ("evt.type != open", true),
            ("fd.name = /etc/shadow and fd.nameraw = ../etc/shadow", true),
            ("fd.directory = /etc and fd.filename = shadow", true),
            ("fd.num = 3 and fd.typechar = f and fd.type = file", true),
            ("evt.is_open_write = true and evt.is_open_read = false", true),
            ("evt.arg.flags contains O_TRUNC and evt.arg.flags endswith O_WRONLY", true),
            ("evt.res = SUCCESS", true),
            ("evt.res startswith E", false),
            ("evt.dir = <", true),
        ],
    );
}

#[test]
fn addresses_look_at_both_ends() {
    check(
        &connect("10.0.0.1:40000", "192.0.2.9:443"),
        &[
            ("fd.ip = 10.0.0.1", true),
            ("fd.ip = 192.0.2.9", true),
            ("fd.ip != 10.0.0.1", false),
            ("fd.ip != 10.0.0.2", true),
            ("fd.ip in (10.0.0.2, 192.0.2.9)", true),
            ("fd.ip != ::1", true),
            ("fd.net = 10.0.0.0/8", true),
            ("fd.net != \"127.0.0.0/8\"", true),
            ("fd.port = 443", true),
            ("fd.port != 443", false),
            ("fd.port != 80", true),
            ("fd.port in (22, 40000)", true),
            ("fd.sip = 192.0.2.9 and fd.cip = 10.0.0.1", true),
            ("fd.sport = 443 and fd.lport = 40000", true),
            ("fd.snet in (10.0.0.0/8)", false),
            ("fd.typechar = 4 and fd.type = ipv4 and fd.l4proto = tcp", true),
            ("fd.name = \"10.0.0.1:40000->192.0.2.9:443\"", true),
            ("evt.res = EINPROGRESS and evt.rawres = -115", true),
        ],
    );
    check(
        &connect("[2001:db8::1]:40000", "[2001:db8::2]:443"),
        &[("fd.ip != 10.0.0.1", true), ("fd.ip = 10.0.0.1", false), ("fd.typechar = 6", true)],
    );
    check(
        &connect("[::ffff:10.0.0.1]:4", "[::ffff:10.0.0.2]:5"),
        &[("fd.ip = 10.0.0.1 and fd.typechar = 4", true)],
    );
}

#[test]
fn a_comparison_with_nothing_is_false_and_only_not_turns_it() {
    let unnamed = "container.image.repository";
    for (check, expected) in [
        (format!("{unnamed} = x"), false),
        (format!("{unnamed} != x"), false),
        (format!("{unnamed} in (x)"), false),
        (format!("{unnamed} exists"), false),
        (format!("{unnamed} startswith \"\""), false),
        (format!("{unnamed} = val({unnamed})"), false),
        (format!("tolower({unnamed}) != x"), false),
        (format!("not {unnamed} = x"), true),
        (format!("not {unnamed} != x"), true),
        (format!("not not {unnamed} = x"), false),
        (format!("not {unnamed} exists"), true),
    ] {
        assert_eq!(holds(&format!("evt.type = openat and {check}"), &open()), expected, "{check}");
    }
    // The same where the event can have no such field at all.
    assert!(!holds("evt.type = execve and fd.name != /x or proc.pid = 0", &exec()));
    assert!(holds("not fd.name != /x", &exec()));
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    check(
        &exec(),
        &[
            ("proc.pid = 9 or proc.pid = 1 and proc.pid = 2", true),
            ("(proc.pid = 9 or proc.pid = 1) and proc.pid = 2", false),
            ("not proc.pid = 1 and proc.pid = 9", true),
            ("not (proc.pid = 9 or proc.pid = 1)", false),
            ("not(proc.pid = 1)and(proc.pid = 9)", true),
        ],
    );
}
