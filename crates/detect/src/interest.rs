//! What a sensor must not leave out: a superset of all events an active rule could match, simple
//! enough for the kernel. Processes (exec, fork, exit) are always wanted, because rules about other
//! events need to know them.
//!
//! Made by reading each condition with most of its tests forgotten. Forgetting a test of a
//! conjunction, and taking a test we do not understand for true, only ever adds events.

mod approximate;
#[cfg(test)]
mod tests;

use outis_model::event::{Event, Open, Place, Socket, What};

use crate::field::value::file;
use crate::names;
use crate::rules::RuleSet;
use crate::types::{self, TYPES, TypeMask};

/// Cases of which at least one must hold for an event to matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interest {
    cases: Vec<Case>,
}

/// A conjunction: each part must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    types: TypeMask,
    /// Where the task runs.
    pub place: Whence,
    /// Files: opened for reading, or not; `None` for either.
    pub read: Option<bool>,
    /// Files: opened for writing, or not; `None` for either.
    pub write: Option<bool>,
    /// Whether the call succeeded.
    pub outcome: Outcome,
    /// Files: the absolute, cleaned path passes one of these; `None` for any path.
    pub paths: Option<Vec<PathTest>>,
    /// Sockets: IPv4 (mapped ones included), IPv6, Unix; one at least.
    pub families: [bool; 3],
}

/// Where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// Anywhere.
    Any,
    /// Not on the host itself; where nobody can tell, too.
    Container,
    /// On the host itself.
    Host,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Either.
    Any,
    /// It returned no error.
    Success,
    /// It returned an error.
    Failure,
}

/// A test of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathTest {
    /// The whole path.
    Is(String),
    /// Its beginning.
    Starts(String),
    /// Its end.
    Ends(String),
    /// Any part of it.
    Contains(String),
}

impl PathTest {
    /// Whether a path passes.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        match self {
            Self::Is(text) => path == text,
            Self::Starts(text) => path.starts_with(text),
            Self::Ends(text) => path.ends_with(text),
            Self::Contains(text) => path.contains(text),
        }
    }
}

impl Case {
    /// The event types it is about.
    pub fn events(&self) -> impl Iterator<Item = &'static str> + use<> {
        let types = self.types;
        TYPES.iter().enumerate().filter(move |(number, _)| types.has(*number)).map(|(_, name)| *name)
    }

    fn open(&self, open: &Open) -> bool {
        let (read, write) = names::access(file::flags(open));
        self.read.is_none_or(|wanted| wanted == read)
            && self.write.is_none_or(|wanted| wanted == write)
            && self.outcome(open.result)
            && self.paths.as_ref().is_none_or(|tests| {
                let path = file::path(open);
                tests.iter().any(|test| test.holds(&path))
            })
    }

    fn socket(&self, socket: &Socket) -> bool {
        let ip = socket.peer.or(socket.local).map(|end| end.ip().to_canonical());
        let family = match (ip, &socket.unix) {
            (Some(ip), _) => Some(usize::from(ip.is_ipv6())),
            (None, Some(_)) => Some(2),
            (None, None) => None,
        };
        self.outcome(socket.result)
            && family.map_or(self.families == [true; 3], |family| self.families[family])
    }

    fn outcome(&self, result: i32) -> bool {
        match self.outcome {
            Outcome::Any => true,
            Outcome::Success => result >= 0,
            Outcome::Failure => result < 0,
        }
    }

    fn admits(&self, number: usize, event: &Event) -> bool {
        let place = match (self.place, &event.place) {
            (Whence::Any, _) | (Whence::Host, Place::Host) => true,
            (Whence::Container, place) => *place != Place::Host,
            (Whence::Host, _) => false,
        };
        place
            && self.types.has(number)
            && match &event.what {
                What::Open(open) => self.open(open),
                What::Connect(socket) | What::Accept(socket) => self.socket(socket),
                _ => true,
            }
    }
}

impl Interest {
    /// The cases; none when no active rule looks at anything.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Cases about one event type, such as `openat`.
    pub fn about<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Case> {
        self.cases.iter().filter(move |case| case.events().any(|name| name == event))
    }

    /// Whether an event must reach the engine. This is the meaning of all the fields above; the
    /// kernel's filter may admit more and never less.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        match (&event.what, types::of(event)) {
            (What::Exec(_) | What::Seen(_) | What::Fork(_) | What::Exit { .. }, _) | (_, None) => true,
            (_, Some(number)) => self.cases.iter().any(|case| case.admits(number, event)),
        }
    }
}

impl RuleSet {
    /// What the active rules could match, for the sensor's filter.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let mut cases: Vec<Case> = Vec::new();
        for number in (0..TYPES.len()).filter(|number| self.types().has(*number)) {
            let mut found = Vec::new();
            for (_, cond) in &self.index[number] {
                found.extend(approximate::cases(cond, number));
            }
            for case in approximate::simplified(found) {
                let same = |known: &&mut Case| Case { types: case.types, ..(**known).clone() } == case;
                match cases.iter_mut().find(same) {
                    Some(known) => known.types = known.types.or(case.types),
                    None => cases.push(case),
                }
            }
        }
        Interest { cases }
    }
}
