//! One check of the language as one test: the field is found, the operator fits its kind, the
//! literals are read as what they are compared with.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Cond;
use super::test::{Check, NumberTest, Operand, Test, TextTest};
use crate::field::{Field, Id, Kind, NoField};
use crate::language::{self, Op, Right, Transform, Word};
use crate::rules::Missing;
use crate::types::{self, TypeMask};

/// What a check needs besides itself.
pub(super) trait Scope {
    /// A word, or the items of the list it names.
    fn words(&self, word: &Word) -> Vec<String>;
    /// Whether the addresses behind host names are told to us.
    fn knows_hosts(&self) -> bool;
}

/// Why a check cannot be used, and at which byte.
pub(super) type Wrong = (usize, String);

pub(super) fn check(check: &language::Check, scope: &dyn Scope) -> Result<Cond, Wrong> {
    let operand = match operand(&check.left)? {
        Ok(operand) => operand,
        Err(missing) => return Ok(Cond::Lacking(Arc::new(missing))),
    };
    if operand.kind() == Kind::HostName && !scope.knows_hosts() {
        return Ok(Cond::Lacking(Arc::new(Missing::Field(check.left.to_string()))));
    }
    let wrong = |text: String| (check.at.0, text);
    let made = match &check.right {
        Right::Nothing => Check::Exists,
        Right::Operand(other) => match self::operand(other)? {
            Ok(other) => values(&operand, check, other).map_err(wrong)?,
            Err(missing) => return Ok(Cond::Lacking(Arc::new(missing))),
        },
        Right::One(word) => {
            let words = scope.words(word);
            match &words[..] {
                [one] => {
                    if let Some(types) = types_of(&operand, check.op, &words) {
                        return Ok(types);
                    }
                    one_value(&operand, check, one).map_err(wrong)?
                }
                _ => {
                    let (name, count) = (&word.text, words.len());
                    return Err(wrong(format!(
                        "`{}` compares with one value, and the list `{name}` has {count}",
                        check.op.text()
                    )));
                }
            }
        }
        Right::Many(words) => {
            let words: Vec<String> = words.iter().flat_map(|word| scope.words(word)).collect();
            if let Some(types) = types_of(&operand, check.op, &words) {
                return Ok(types);
            }
            many_values(&operand, check, words).map_err(wrong)?
        }
    };
    Ok(Cond::Test(Arc::new(Test { operand, check: made })))
}

/// The event's type is compared before anything else is looked at.
fn types_of(operand: &Operand, op: Op, words: &[String]) -> Option<Cond> {
    let Operand::Field(Field { id: Id::EvtType, .. }) = operand else { return None };
    let mut known = TypeMask::default();
    let mut names = Vec::new();
    for word in words {
        match types::number(word) {
            Some(number) => known = known.or(TypeMask(1 << number)),
            None => names.push(word.clone()),
        }
    }
    let types = Cond::Types(known, names.into());
    match op {
        Op::Eq | Op::In | Op::Intersects => Some(types),
        Op::Ne => Some(Cond::Not(Box::new(types))),
        _ => None,
    }
}

/// The operand; or, inside, what of it we do not have.
pub(super) fn operand(of: &language::Operand) -> Result<Result<Operand, Missing>, Wrong> {
    match of {
        language::Operand::Field { name, arg, at } => match Field::find(name, arg.as_deref()) {
            Ok(field) => Ok(Ok(Operand::Field(field))),
            Err(NoField::NotThere) => Ok(Err(Missing::Field(of.to_string()))),
            Err(NoField::BadArgument(text)) => Err((at.0, text)),
        },
        language::Operand::Transform(transform, inner) => {
            let at = place(inner);
            let inner = match operand(inner)? {
                Ok(inner) => inner,
                missing => return Ok(missing),
            };
            let fits = match transform {
                Transform::Val => true,
                Transform::Len => matches!(inner.kind(), Kind::Text | Kind::Texts),
                _ => inner.kind() == Kind::Text,
            };
            match fits {
                true => Ok(Ok(Operand::Transform(*transform, Box::new(inner)))),
                false => Err((
                    at,
                    format!("`{}` takes a text, and `{of}` gives it something else", transform.text()),
                )),
            }
        }
    }
}

fn place(operand: &language::Operand) -> usize {
    match operand {
        language::Operand::Field { at, .. } => at.0,
        language::Operand::Transform(_, inner) => place(inner),
    }
}

fn misfit(check: &language::Check, kind: Kind) -> String {
    let what = match kind {
        Kind::Text | Kind::Texts => "a text",
        Kind::Int | Kind::Ports => "a number",
        Kind::Bool => "true or false",
        Kind::Ip => "an address",
        Kind::HostName => "an address by its host names",
    };
    format!("`{}` does not fit `{}`, which is {what}", check.op.text(), check.left)
}

fn one_value(operand: &Operand, check: &language::Check, text: &str) -> Result<Check, String> {
    let kind = operand.kind();
    let differs = check.op == Op::Ne;
    let equality = matches!(check.op, Op::Eq | Op::Ne);
    let ordering = matches!(check.op, Op::Lt | Op::Le | Op::Gt | Op::Ge);
    match kind {
        Kind::Text | Kind::Texts if ordering => Err(misfit(check, kind)),
        Kind::Text | Kind::Texts => TextTest::one(check.op, text).map(Check::Text),
        Kind::Int | Kind::Ports if equality || ordering => {
            Ok(Check::Number(NumberTest::Is(check.op, number(check, text)?)))
        }
        Kind::Bool if equality => Ok(Check::Bool(truth(check, text)? != differs)),
        Kind::Ip if equality => Ok(Check::Address { nets: vec![net(check, text)?], differs }),
        Kind::HostName if equality => Ok(Check::Host { names: vec![text.to_owned()], differs }),
        kind => Err(misfit(check, kind)),
    }
}

fn many_values(operand: &Operand, check: &language::Check, words: Vec<String>) -> Result<Check, String> {
    let kind = operand.kind();
    let paths = check.op == Op::PMatch;
    match kind {
        Kind::Text | Kind::Texts => TextTest::many(check.op, words.into_iter()).map(Check::Text),
        _ if paths => Err(misfit(check, kind)),
        Kind::Int | Kind::Ports => {
            let numbers = words.iter().map(|word| number(check, word)).collect::<Result<_, _>>()?;
            Ok(Check::Number(NumberTest::In(numbers)))
        }
        Kind::Ip => {
            let nets = words.iter().map(|word| net(check, word)).collect::<Result<_, _>>()?;
            Ok(Check::Address { nets, differs: false })
        }
        Kind::HostName => Ok(Check::Host { names: words, differs: false }),
        Kind::Bool => match &words[..] {
            [one] => Ok(Check::Bool(truth(check, one)?)),
            _ => Err(misfit(check, kind)),
        },
    }
}

/// Compares with another field: both sides must be of one kind.
fn values(operand: &Operand, check: &language::Check, other: Operand) -> Result<Check, String> {
    let group = |kind: Kind| match kind {
        Kind::Text | Kind::Texts => 0,
        Kind::Int => 1,
        Kind::Bool => 2,
        Kind::Ip => 3,
        Kind::Ports | Kind::HostName => 4,
    };
    let (left, right) = (group(operand.kind()), group(other.kind()));
    let listed = check.op == Op::PMatch;
    let textual = !matches!(check.op, Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge);
    match left == right && left < 4 && !listed && (left == 0 || !textual) {
        true => Ok(Check::Value(check.op, other)),
        false => Err(format!("`{}` cannot compare `{}` with that value", check.op.text(), check.left)),
    }
}

fn number(check: &language::Check, text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse::<i64>(),
    };
    match parsed {
        Ok(number) if !digits.starts_with(['+', '-']) => Ok(sign * number),
        _ => Err(format!("`{}` is a number, and {text:?} is none", check.left)),
    }
}

fn truth(check: &language::Check, text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{}` is true or false, not {text:?}", check.left)),
    }
}

fn net(check: &language::Check, text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical())).ok();
    let found = address.or_else(|| text.parse::<IpNet>().ok());
    found.ok_or_else(|| {
        format!(
            "`{}` is an address, and {text:?} is neither an address nor a network such as 10.0.0.0/8",
            check.left
        )
    })
}
