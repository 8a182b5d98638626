//! One comparison. The right side was made ready when the rules were loaded: sets are hashed,
//! patterns compiled, numbers and networks read.

mod path;
mod text;

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use base64::Engine;
use ipnet::IpNet;

pub(crate) use path::PathTree;
pub(crate) use text::TextTest;

use crate::field::value::{Value, View};
use crate::field::{Field, Id, Kind};
use crate::language::{Op, Transform};
use crate::types::TypeMask;

/// What is compared: a field, or a function of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Field(Field),
    Transform(Transform, Box<Operand>),
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) operand: Operand,
    pub(crate) check: Check,
}

/// How it is compared, and with what.
#[derive(Debug)]
pub(crate) enum Check {
    Exists,
    Text(TextTest),
    Number(NumberTest),
    /// The wanted value.
    Bool(bool),
    Address {
        nets: Vec<IpNet>,
        differs: bool,
    },
    Host {
        names: Vec<String>,
        differs: bool,
    },
    /// Another field's value, as this operator.
    Value(Op, Operand),
}

/// Numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NumberTest {
    Is(Op, i64),
    In(HashSet<i64>),
}

impl NumberTest {
    pub(crate) fn holds(&self, value: i64) -> bool {
        match self {
            Self::Is(op, other) => ordered(*op, value, *other),
            Self::In(all) => all.contains(&value),
        }
    }
}

fn ordered<T: Ord>(op: Op, left: T, right: T) -> bool {
    match op {
        Op::Ne => left != right,
        Op::Lt => left < right,
        Op::Le => left <= right,
        Op::Gt => left > right,
        Op::Ge => left >= right,
        _ => left == right,
    }
}

impl Operand {
    pub(crate) fn when(&self) -> TypeMask {
        match self {
            Self::Field(field) => field.when,
            Self::Transform(_, inner) => inner.when(),
        }
    }

    /// The kind of its value.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind,
            Self::Transform(Transform::Len, _) => Kind::Int,
            Self::Transform(Transform::Val, inner) => inner.kind(),
            Self::Transform(..) => Kind::Text,
        }
    }

    pub(crate) fn get<'a>(&self, view: &View<'a>) -> Value<'a> {
        let (transform, inner) = match self {
            Self::Field(field) => return view.get(field),
            Self::Transform(transform, inner) => (*transform, inner.get(view)),
        };
        match (transform, inner) {
            (Transform::Val, value) => value,
            (Transform::Len, Value::Text(text)) => Value::Int(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            (Transform::Len, Value::Ancestors(all)) => {
                Value::Int(i64::try_from(all.len()).unwrap_or(i64::MAX))
            }
            (Transform::Lower, Value::Text(text)) => text.to_lowercase().into(),
            (Transform::Upper, Value::Text(text)) => text.to_uppercase().into(),
            (Transform::Basename, Value::Text(text)) => basename(text),
            (Transform::B64, Value::Text(text)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).ok();
                bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).into()
            }
            _ => Value::Missing,
        }
    }
}

fn basename(text: Cow<'_, str>) -> Value<'_> {
    let after = |text: &str| text.rfind('/').map_or(0, |slash| slash + 1);
    match text {
        Cow::Borrowed(text) => text[after(text)..].into(),
        Cow::Owned(text) => text[after(&text)..].to_owned().into(),
    }
}

impl Test {
    /// Whether the comparison's answer is known without an event: numbers of events are from 1,
    /// which rule authors use to write `never` and `always`.
    pub(crate) fn constant(&self) -> Option<bool> {
        let number = matches!(&self.operand, Operand::Field(field) if field.id == Id::EvtNum);
        match (&self.check, number) {
            (Check::Number(NumberTest::Is(op, bound)), true) if *bound <= 0 => {
                Some(matches!(op, Op::Ge | Op::Gt | Op::Ne))
            }
            _ => None,
        }
    }

    /// How much it costs, relatively.
    pub(crate) fn cost(&self) -> usize {
        let field = match &self.operand {
            Operand::Field(field) => match field.id {
                Id::ThreadCap
                | Id::EvtArgFlags
                | Id::EvtArgs
                | Id::EvtInfo
                | Id::FdDirectory
                | Id::FdFilename => 4,
                _ => 1,
            },
            Operand::Transform(..) => 6,
        };
        field
            + match &self.check {
                Check::Exists | Check::Bool(_) | Check::Number(_) => 0,
                Check::Text(test) => test.cost(),
                Check::Address { .. } => 2,
                Check::Host { .. } | Check::Value(..) => 4,
            }
    }

    pub(crate) fn holds(&self, view: &View<'_>) -> bool {
        let value = self.operand.get(view);
        match (&self.check, value) {
            (_, Value::Missing) => false,
            (Check::Exists, _) => true,
            (Check::Text(test), Value::Text(text)) => test.holds(&text),
            (Check::Text(test), Value::Ancestors(all)) => all.iter().any(|one| test.holds(&one.comm)),
            (Check::Number(test), Value::Int(number)) => test.holds(number),
            (Check::Number(test), Value::Ports(local, remote)) => ports(test, local, remote),
            (Check::Bool(wanted), Value::Bool(value)) => value == *wanted,
            (Check::Address { nets, differs }, Value::Ips(one, other)) => {
                addresses(nets, *differs, one, other)
            }
            (Check::Host { names, differs }, Value::Ips(Some(ip), _)) => host(view, names, *differs, ip),
            (Check::Value(op, other), left) => compare(*op, &left, &other.get(view)),
            _ => false,
        }
    }
}

/// Either end may match; to differ, both must.
fn ports(test: &NumberTest, local: Option<u16>, remote: Option<u16>) -> bool {
    let mut ends = [local, remote].into_iter().flatten().map(i64::from);
    match test {
        NumberTest::Is(Op::Ne, _) => ends.all(|port| test.holds(port)),
        _ => ends.any(|port| test.holds(port)),
    }
}

fn addresses(nets: &[IpNet], differs: bool, one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let within = |ip: IpAddr| nets.iter().any(|net| net.contains(&ip));
    [one, other].into_iter().flatten().any(within) != differs
}

/// A name nobody has told us the addresses of makes the comparison false, either way.
fn host(view: &View<'_>, names: &[String], differs: bool, ip: IpAddr) -> bool {
    let mut known = names.iter().filter_map(|name| view.knowledge.hosts.get(name)).peekable();
    known.peek().is_some() && known.any(|addresses| addresses.contains(&ip)) != differs
}

fn compare(op: Op, left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => text::compare(op, left, right),
        (Value::Ancestors(all), Value::Text(right)) => {
            all.iter().any(|one| text::compare(op, &one.comm, right))
        }
        (Value::Int(left), Value::Int(right)) => ordered(op, *left, *right),
        (Value::Bool(left), Value::Bool(right)) => ordered(op, *left, *right),
        (Value::Ips(a, b), Value::Ips(c, d)) => {
            let same =
                [a, b].into_iter().flatten().any(|ip| [c, d].into_iter().flatten().any(|other| ip == other));
            same != (op == Op::Ne)
        }
        _ => false,
    }
}
