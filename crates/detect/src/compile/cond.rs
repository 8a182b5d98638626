//! A condition ready to be judged, and what it becomes when the event's type is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::test::Test;
use crate::field::value::View;
use crate::rules::Missing;
use crate::types::TypeMask;

/// A compiled condition. Tests are shared between the copies made for each event type.
#[derive(Debug, Clone)]
pub(crate) enum Cond {
    True,
    False,
    /// The event is of one of these types: known ones, and names of others.
    Types(TypeMask, Arc<[String]>),
    Test(Arc<Test>),
    /// It compares something we do not have.
    Lacking(Arc<Missing>),
    Not(Box<Cond>),
    And(Vec<Cond>),
    Or(Vec<Cond>),
}

/// What is asked about an event type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type<'a> {
    Known(usize),
    Named(&'a str),
    /// One that no condition names.
    Other,
}

impl Cond {
    /// Nodes of the tree.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Not(inner) => 1 + inner.size(),
            Self::And(all) | Self::Or(all) => 1 + all.iter().map(Self::size).sum::<usize>(),
            _ => 1,
        }
    }

    /// Levels of the tree.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Not(inner) => 1 + inner.depth(),
            Self::And(all) | Self::Or(all) => 1 + all.iter().map(Self::depth).max().unwrap_or(0),
            _ => 1,
        }
    }

    /// The condition for events of one type, without what is then certain; cheap tests first,
    /// which changes nothing: tests have no effects.
    pub(crate) fn of_type(&self, kind: Type<'_>) -> Self {
        match self {
            Self::Types(known, names) => Self::constant(match kind {
                Type::Known(number) => known.has(number),
                Type::Named(name) => names.iter().any(|known| known == name),
                Type::Other => false,
            }),
            Self::Test(test) => match kind {
                Type::Known(number) if !test.operand.when().has(number) => Self::False,
                _ => test.constant().map_or_else(|| self.clone(), Self::constant),
            },
            Self::Not(inner) => match inner.of_type(kind) {
                Self::True => Self::False,
                Self::False => Self::True,
                inner => Self::Not(Box::new(inner)),
            },
            Self::And(all) => Self::join(all, kind, true),
            Self::Or(all) => Self::join(all, kind, false),
            other => other.clone(),
        }
    }

    fn constant(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }

    fn join(all: &[Self], kind: Type<'_>, and: bool) -> Self {
        let mut parts = Vec::new();
        for part in all {
            match (part.of_type(kind), and) {
                (Self::True, true) | (Self::False, false) => {}
                (Self::False, true) => return Self::False,
                (Self::True, false) => return Self::True,
                (Self::And(inner), true) | (Self::Or(inner), false) => parts.extend(inner),
                (part, _) => parts.push(part),
            }
        }
        parts.sort_by_key(Self::cost);
        match (parts.len(), and) {
            (0, and) => Self::constant(and),
            (1, _) => parts.remove(0),
            (_, true) => Self::And(parts),
            (_, false) => Self::Or(parts),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::True | Self::False | Self::Types(..) | Self::Lacking(_) => 0,
            Self::Test(test) => test.cost(),
            Self::Not(inner) => inner.cost(),
            Self::And(all) | Self::Or(all) => all.iter().map(Self::cost).sum::<usize>().saturating_add(4),
        }
    }

    /// Names of event types the condition speaks of and we do not have.
    pub(crate) fn foreign_types(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Types(_, names) => into.extend(names.iter().cloned()),
            Self::Not(inner) => inner.foreign_types(into),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.foreign_types(into)),
            _ => {}
        }
    }

    /// What it needs and we do not have.
    pub(crate) fn lacking(&self, into: &mut BTreeSet<Missing>) {
        match self {
            Self::Lacking(what) => {
                into.insert((**what).clone());
            }
            Self::Not(inner) => inner.lacking(into),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.lacking(into)),
            _ => {}
        }
    }

    /// Judges an event. A condition that lacks something is never in use, and would be false.
    pub(crate) fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::True => true,
            Self::False | Self::Types(..) | Self::Lacking(_) => false,
            Self::Test(test) => test.holds(view),
            Self::Not(inner) => !inner.holds(view),
            Self::And(all) => all.iter().all(|one| one.holds(view)),
            Self::Or(all) => all.iter().any(|one| one.holds(view)),
        }
    }
}
