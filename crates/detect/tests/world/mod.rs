//! Processes and what they do, as sentences: `world.run("sh").in_pod().tty().below("runc")`.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod traffic;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outis_detect::{Knowledge, Matching, Options, Partition, RuleSet, Source, step};
use outis_model::Timestamp;
use outis_model::alert::Match;
use outis_model::event::{
    Ancestor, Event, Exec, Open, Place, PodRef, Socket, Task, Transport, What, Workload,
};

pub const SECOND: u64 = 1_000_000_000;
pub const RDONLY: u32 = 0;
pub const WRONLY: u32 = 1;
pub const TRUNC: u32 = 0o1000;

/// The upstream stable rules, where the conformance data is.
#[expect(clippy::disallowed_methods, reason = "a test reads fixtures; the engine reads nothing")]
pub fn upstream() -> io::Result<Source> {
    let dir = std::env::var_os("OUTIS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let path = dir.join("falco/falco_rules.yaml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(Source::new("falco_rules.yaml", text))
}

/// Rules and one partition.
pub struct World {
    pub rules: RuleSet,
    pub state: Partition,
    /// Every event so far.
    pub history: Vec<Event>,
    stamp: u64,
    pid: u32,
}

impl World {
    pub fn new(sources: &[Source]) -> Self {
        let options = Options { matching: Matching::All, hosts: true, ..Options::default() };
        let rules = RuleSet::compile(sources, &options).unwrap_or_else(|faults| panic!("{faults}"));
        let mut state = Partition::default();
        let mut known = Knowledge::default();
        let api = "10.96.0.1".parse().expect("an address");
        known.hosts.insert("kubernetes.default.svc.cluster.local".into(), [api].into());
        known.node.users.insert(33, "www-data".into());
        state.know(Arc::new(known));
        Self { rules, state, history: vec![], stamp: 1_000 * SECOND, pid: 100 }
    }

    /// A process that is about to run a program.
    pub fn run(&mut self, program: &str) -> Run<'_> {
        self.pid += 1;
        let name = program.rsplit('/').next().unwrap_or(program);
        let path = if program.starts_with('/') { program.to_owned() } else { format!("/usr/bin/{program}") };
        let task = Task {
            pid: self.pid,
            tid: self.pid,
            vpid: 7,
            start: self.stamp,
            loginuid: u32::MAX,
            comm: name.chars().take(15).collect(),
            ..Task::default()
        };
        let exec = Exec {
            syscall: "execve".into(),
            exe_path: path,
            args: vec![program.into()],
            cwd: "/srv".into(),
            exe_ctime: 1,
            exe_mtime: 1,
            ..Exec::default()
        };
        Run { world: self, task, place: Place::Host, exec }
    }

    pub fn step(&mut self, task: &Task, place: &Place, what: What) -> Vec<Match> {
        self.stamp += 1_000;
        let event = Event {
            stamp: self.stamp,
            time: Timestamp::from_nanosecond(1_800_000_000_000_000_000 + i128::from(self.stamp))
                .expect("a time"),
            number: self.stamp,
            task: task.clone(),
            place: place.clone(),
            what,
        };
        let said = step(&self.rules, &mut self.state, &event);
        self.history.push(event);
        said
    }

    pub fn wait(&mut self, nanoseconds: u64) {
        self.stamp += nanoseconds;
    }
}

pub fn pod() -> Place {
    Place::Container(Arc::new(Workload {
        container: "0123456789abcdef0123456789abcdef".parse().expect("an id"),
        container_name: Some("web".into()),
        image_repository: Some("registry.example/shop/web".into()),
        image_tag: Some("1".into()),
        privileged: false,
        pod: Some(PodRef {
            namespace: "shop".parse().expect("a namespace"),
            name: "web-1".parse().expect("a name"),
            uid: "d290f1ee-6c54-4b01-90e6-d701748f0851".parse().expect("a uid"),
            service_account: "web".parse().expect("a name"),
            node: "node-1".parse().expect("a name"),
        }),
        start: 900 * SECOND,
    }))
}

pub fn privileged_pod() -> Place {
    let Place::Container(workload) = pod() else { return Place::Host };
    Place::Container(Arc::new(Workload { privileged: true, ..(*workload).clone() }))
}

/// A process before it runs.
pub struct Run<'a> {
    pub world: &'a mut World,
    pub task: Task,
    pub place: Place,
    pub exec: Exec,
}

/// A running process.
pub struct Running {
    pub task: Task,
    pub place: Place,
    pub said: Vec<Match>,
}

impl<'a> Run<'a> {
    pub fn in_pod(mut self) -> Self {
        self.place = pod();
        self
    }

    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    pub fn tty(mut self) -> Self {
        self.task.tty = 0x8801;
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.exec.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    pub fn exe(mut self, exe: &str) -> Self {
        self.exec.args[0] = exe.into();
        self
    }

    pub fn cwd(mut self, cwd: &str) -> Self {
        self.exec.cwd = cwd.into();
        self
    }

    /// Parents by name, nearest first.
    pub fn below(mut self, names: &[&str]) -> Self {
        let ancestor = |(index, name): (usize, &&str)| Ancestor {
            pid: 50 - index as u32,
            start: 1,
            comm: (*name).to_owned(),
            exe: None,
        };
        self.exec.ancestors = names.iter().enumerate().map(ancestor).collect();
        self.task.ppid = self.exec.ancestors.first().map_or(0, |parent| parent.pid);
        self
    }

    pub fn user(mut self, uid: u32) -> Self {
        self.task.uid = uid;
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Task, &mut Exec)) -> Self {
        change(&mut self.task, &mut self.exec);
        self
    }

    pub fn go(self) -> Running {
        let said = self.world.step(&self.task, &self.place, What::Exec(Box::new(self.exec)));
        Running { task: self.task, place: self.place, said }
    }

    /// Titles of the rules that speak of it.
    pub fn rules(self) -> Vec<String> {
        titles(&self.go().said)
    }
}

pub fn titles(said: &[Match]) -> Vec<String> {
    said.iter().map(|found| found.rule.to_string()).collect()
}

impl Running {
    pub fn open(&self, world: &mut World, path: &str, flags: u32) -> Vec<String> {
        titles(
            &self.opens(
                world,
                Open { raw: path.into(), path: path.into(), flags, result: 3, ..Open::default() },
            ),
        )
    }

    pub fn opens(&self, world: &mut World, open: Open) -> Vec<Match> {
        let open = Open { syscall: "openat".into(), dirfd: -100, cwd: "/srv".into(), ..open };
        world.step(&self.task, &self.place, What::Open(Box::new(open)))
    }

    pub fn connect(&self, world: &mut World, peer: &str, result: i32) -> Vec<String> {
        let socket = Socket {
            syscall: "connect".into(),
            fd: 5,
            result,
            transport: Transport::Tcp,
            local: Some("10.1.0.7:40000".parse().expect("an address")),
            peer: Some(peer.parse().expect("an address")),
            unix: None,
            cookie: 1,
        };
        titles(&world.step(&self.task, &self.place, What::Connect(Box::new(socket))))
    }
}
