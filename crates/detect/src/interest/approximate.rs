//! A condition as cases that hold whenever it does.

use super::{Case, Outcome, PathTest, Whence};
use crate::compile::Cond;
use crate::compile::test::{Check, NumberTest, Operand, Test, TextTest};
use crate::field::Id;
use crate::language::Op;
use crate::types::{FILES, SOCKETS, TypeMask};

/// Cases of one condition; beyond it parts of conjunctions are forgotten.
const MAX_CASES: usize = 64;
/// Tests of one path.
const MAX_PATHS: usize = 256;

/// Cases of a condition for events of one type.
pub(super) fn cases(cond: &Cond, number: usize) -> Vec<Case> {
    let top = Case {
        types: TypeMask(1 << number),
        place: Whence::Any,
        read: None,
        write: None,
        outcome: Outcome::Any,
        paths: None,
        families: [true; 3],
    };
    Approximation { top, file: FILES.has(number), socket: SOCKETS.has(number) }.walk(cond, true)
}

struct Approximation {
    top: Case,
    file: bool,
    socket: bool,
}

impl Approximation {
    /// `holds` is whether the condition is to hold or not to hold.
    fn walk(&self, cond: &Cond, holds: bool) -> Vec<Case> {
        match (cond, holds) {
            (Cond::True, true) | (Cond::False, false) => vec![self.top.clone()],
            (Cond::True, false) | (Cond::False, true) => vec![],
            (Cond::Not(inner), holds) => self.walk(inner, !holds),
            (Cond::And(all), true) | (Cond::Or(all), false) => self.all(all, holds),
            (Cond::Or(all), true) | (Cond::And(all), false) => self.any(all, holds),
            (Cond::Test(test), holds) => vec![self.test(test, holds).unwrap_or_else(|| self.top.clone())],
            (Cond::Types(..) | Cond::Lacking(_), _) => vec![self.top.clone()],
        }
    }

    fn any(&self, all: &[Cond], holds: bool) -> Vec<Case> {
        let mut found = Vec::new();
        for one in all {
            found.extend(self.walk(one, holds));
        }
        let found = simplified(found);
        if found.len() > MAX_CASES { vec![self.top.clone()] } else { found }
    }

    fn all(&self, all: &[Cond], holds: bool) -> Vec<Case> {
        let mut found = vec![self.top.clone()];
        for one in all {
            let more = self.walk(one, holds);
            if found.len() * more.len() > MAX_CASES {
                continue;
            }
            let pairs = found.iter().flat_map(|a| more.iter().filter_map(move |b| both(a, b)));
            found = simplified(pairs.collect());
        }
        found
    }

    /// What is certain when a test has an answer. A test of something that has no value does not
    /// hold, so its not holding says nothing of most fields.
    fn test(&self, test: &Test, holds: bool) -> Option<Case> {
        let Operand::Field(field) = &test.operand else { return None };
        let case = self.top.clone();
        match field.id {
            Id::ContainerId => host(test).map(|host| Case {
                place: if host == holds { Whence::Host } else { Whence::Container },
                ..case
            }),
            Id::ContainerRepository
            | Id::ContainerImage
            | Id::ContainerTag
            | Id::ContainerPrivileged
            | Id::PodNamespace
            | Id::PodName
            | Id::PodUid
            | Id::PodAccount
                if holds =>
            {
                Some(Case { place: Whence::Container, ..case })
            }
            Id::EvtIsOpenRead if self.file => {
                flag(test).map(|flag| Case { read: Some(flag == holds), ..case })
            }
            Id::EvtIsOpenWrite if self.file => {
                flag(test).map(|flag| Case { write: Some(flag == holds), ..case })
            }
            Id::FdNum if self.file => success(test).map(|success| outcome(case, success == holds)),
            Id::EvtRawRes | Id::EvtRes | Id::EvtFailed if self.file || self.socket => {
                success(test).map(|success| outcome(case, success == holds))
            }
            Id::FdName | Id::FdDirectory | Id::FdFilename if self.file && holds => {
                let paths = paths(field.id, test)?;
                (paths.len() <= MAX_PATHS).then_some(Case { paths: Some(paths), ..case })
            }
            Id::FdTypeChar | Id::FdType if self.socket && holds => {
                families(test).map(|families| Case { families, ..case })
            }
            Id::FdIp
            | Id::FdNet
            | Id::FdSip
            | Id::FdRip
            | Id::FdSnet
            | Id::FdRnet
            | Id::FdSport
            | Id::FdRport
            | Id::FdSipName
            | Id::FdRipName
                if self.socket && holds =>
            {
                Some(Case { families: [true, true, false], ..case })
            }
            _ => None,
        }
    }
}

fn outcome(case: Case, success: bool) -> Case {
    Case { outcome: if success { Outcome::Success } else { Outcome::Failure }, ..case }
}

/// Whether the test holds exactly on the host (true) or exactly off it (false). A container's id
/// other than the host's is off it, but not holding says nothing then.
fn host(test: &Test) -> Option<bool> {
    match &test.check {
        Check::Text(TextTest::Is(text)) if &**text == "host" => Some(true),
        Check::Text(TextTest::Not(text)) if &**text == "host" => Some(false),
        Check::Text(TextTest::In(all)) if all.len() == 1 && all.contains("host") => Some(true),
        _ => None,
    }
}

fn flag(test: &Test) -> Option<bool> {
    match test.check {
        Check::Bool(wanted) => Some(wanted),
        _ => None,
    }
}

/// Whether the test holds exactly when the call succeeded (true) or exactly when it failed.
fn success(test: &Test) -> Option<bool> {
    match &test.check {
        Check::Number(NumberTest::Is(Op::Ge, 0) | NumberTest::Is(Op::Gt, -1)) => Some(true),
        Check::Number(NumberTest::Is(Op::Lt, 0) | NumberTest::Is(Op::Le, -1)) => Some(false),
        Check::Number(NumberTest::Is(Op::Eq, -1)) if matches!(&test.operand, Operand::Field(field) if field.id == Id::FdNum) => {
            Some(false)
        }
        Check::Text(TextTest::Is(text)) if &**text == "SUCCESS" => Some(true),
        Check::Text(TextTest::Not(text)) if &**text == "SUCCESS" => Some(false),
        // All names of errors begin with an E, and nothing else does.
        Check::Text(TextTest::Starts(text)) if &**text == "E" => Some(false),
        Check::Bool(failed) => Some(!failed),
        _ => None,
    }
}

fn paths(id: Id, test: &Test) -> Option<Vec<PathTest>> {
    let whole = |text: &str| match id {
        Id::FdDirectory => PathTest::Starts(text.to_owned()),
        Id::FdFilename => PathTest::Ends(text.to_owned()),
        _ => PathTest::Is(text.to_owned()),
    };
    let Check::Text(test) = &test.check else { return None };
    let mut found: Vec<PathTest> = match (test, id) {
        (TextTest::Is(text), _) => vec![whole(text)],
        (TextTest::In(all), _) => all.iter().map(|text| whole(text)).collect(),
        (TextTest::Starts(text), Id::FdName | Id::FdDirectory) => vec![PathTest::Starts(text.to_string())],
        (TextTest::Ends(text), Id::FdName | Id::FdFilename) => vec![PathTest::Ends(text.to_string())],
        (TextTest::Starts(text) | TextTest::Ends(text) | TextTest::Contains(text), _) => {
            vec![PathTest::Contains(text.to_string())]
        }
        _ => return None,
    };
    found.sort();
    Some(found)
}

fn families(test: &Test) -> Option<[bool; 3]> {
    let Check::Text(test @ (TextTest::Is(_) | TextTest::In(_))) = &test.check else { return None };
    let either = |one: &str, other: &str| test.holds(one) || test.holds(other);
    Some([either("4", "ipv4"), either("6", "ipv6"), either("u", "unix")])
}

/// The case of both, or none when they contradict each other. Of two path lists one is kept.
fn both(a: &Case, b: &Case) -> Option<Case> {
    let place = match (a.place, b.place) {
        (Whence::Any, place) | (place, Whence::Any) => place,
        (one, other) if one == other => one,
        _ => return None,
    };
    let outcome = match (a.outcome, b.outcome) {
        (Outcome::Any, outcome) | (outcome, Outcome::Any) => outcome,
        (one, other) if one == other => one,
        _ => return None,
    };
    let flags = |one: Option<bool>, other: Option<bool>| match (one, other) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => Some(one.or(other)),
    };
    let paths = match (&a.paths, &b.paths) {
        (Some(one), Some(other)) => Some(if one.len() <= other.len() { one } else { other }.clone()),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    };
    let families = [0, 1, 2].map(|n| a.families[n] && b.families[n]);
    if families == [false; 3] {
        return None;
    }
    let (read, write) = (flags(a.read, b.read)?, flags(a.write, b.write)?);
    Some(Case { types: a.types, place, read, write, outcome, paths, families })
}

/// Whether every event of `b` is one of `a`.
fn covers(a: &Case, b: &Case) -> bool {
    let paths = match (&a.paths, &b.paths) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => b.iter().all(|test| a.contains(test)),
    };
    paths
        && (a.place == Whence::Any || a.place == b.place)
        && (a.outcome == Outcome::Any || a.outcome == b.outcome)
        && (a.read.is_none() || a.read == b.read)
        && (a.write.is_none() || a.write == b.write)
        && (0..3).all(|n| a.families[n] || !b.families[n])
}

/// Without cases that others cover; those that differ in their paths alone become one.
pub(super) fn simplified(cases: Vec<Case>) -> Vec<Case> {
    let mut kept: Vec<Case> = Vec::new();
    for case in cases {
        if kept.iter().any(|known| covers(known, &case)) {
            continue;
        }
        kept.retain(|known| !covers(&case, known));
        let alike = |known: &&mut Case| {
            Case { paths: None, ..(**known).clone() } == Case { paths: None, ..case.clone() }
        };
        match kept.iter_mut().find(alike).map(|known| (&mut known.paths, &case.paths)) {
            Some((Some(known), Some(more))) if known.len() + more.len() <= MAX_PATHS => {
                known.extend(more.iter().cloned());
                known.sort();
                known.dedup();
            }
            _ => kept.push(case),
        }
    }
    kept
}
