//! Events by the thousand, for benchmarks: of many processes, each told of before.

use outis_detect::{Matching, Options, Partition, RuleSet, Source, pack, step};
use outis_model::event::{Event, Open};

use super::{RDONLY, World, upstream};

/// Processes the events are of.
pub const PROCESSES: usize = 1_000;

/// Which rules judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Ours,
    Upstream,
    Both,
}

impl Rules {
    pub const ALL: [Self; 3] = [Self::Ours, Self::Upstream, Self::Both];

    /// None when the upstream rules are not there.
    pub fn compiled(self) -> Option<RuleSet> {
        let sources: Vec<Source> = match self {
            Self::Ours => vec![pack()],
            Self::Upstream => vec![upstream().ok()?],
            Self::Both => vec![pack(), upstream().ok()?],
        };
        let options = Options { matching: Matching::First, hosts: true, ..Options::default() };
        RuleSet::compile(&sources, &options).ok()
    }
}

/// What happens, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    OpenQuiet,
    OpenTold,
    ExecQuiet,
    ExecTold,
    ConnectQuiet,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::OpenQuiet, Self::OpenTold, Self::ExecQuiet, Self::ExecTold, Self::ConnectQuiet];

    /// Whether each event matches exactly one rule, or none.
    pub fn told(self) -> bool {
        matches!(self, Self::OpenTold | Self::ExecTold)
    }

    fn happen(self, world: &mut World) {
        let below = &["python3", "gunicorn", "containerd-shim", "systemd"];
        let process = || ["-m", "http.server", "--bind", "127.0.0.1", "--directory", "/srv/www"];
        match self {
            Self::ExecQuiet => drop(world.run("python3").in_pod().args(&process()).below(below).go()),
            Self::ExecTold => drop(world.run("bash").in_pod().tty().args(&["-i"]).below(&["runc"]).go()),
            Self::ConnectQuiet => {
                drop(world.run("python3").in_pod().args(&process()).below(below).go().connect(
                    world,
                    "10.0.0.7:5432",
                    -115,
                ));
            }
            Self::OpenQuiet | Self::OpenTold => {
                let path =
                    if self.told() { "/etc/shadow" } else { "/usr/lib/python3/dist-packages/http/server.py" };
                let open =
                    Open { raw: path.into(), path: path.into(), flags: RDONLY, result: 3, ..Open::default() };
                world.run("cat").in_pod().args(&process()).below(below).go().opens(world, open);
            }
        }
    }
}

/// A worker that knows all processes, and the events to judge: the last of each process.
pub fn ready(rules: &RuleSet, kind: Kind) -> (Partition, Vec<Event>) {
    let mut world = World::new(&[]);
    let mut last = Vec::new();
    for _ in 0..PROCESSES {
        kind.happen(&mut world);
        last.push(world.history.len() - 1);
    }
    let mut state = Partition::default();
    let mut events = Vec::new();
    for (index, event) in world.history.into_iter().enumerate() {
        let said = step(rules, &mut state, &event);
        if last.contains(&index) {
            assert_eq!(said.len(), usize::from(kind.told()), "{kind:?} {said:?}");
            events.push(event);
        }
    }
    (state, events)
}
