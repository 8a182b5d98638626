//! The condition language as a tree: what was written, before lists, macros and fields mean
//! anything. `parse` after `Display` is identity.

mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use parser::{ParseError, parse, unquote};

/// A byte of the text a node was parsed from. Where a thing stands is no part of what it is, so
/// two places are always equal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At(pub(crate) usize);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Macro(String, At),
    Check(Check),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) left: Operand,
    pub(crate) op: Op,
    pub(crate) right: Right,
    pub(crate) at: At,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Field { name: String, arg: Option<String>, at: At },
    Transform(Transform, Box<Operand>),
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Right {
    Nothing,
    One(Word),
    Many(Vec<Word>),
    Operand(Operand),
}

/// A literal, or the name of a list when it is not quoted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) quoted: bool,
    pub(crate) at: At,
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $type { $($variant),+ }
        impl $type {
            pub(crate) const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            pub(crate) fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, found)| *found)
            }
        }
    };
}

words!(/// A transformer: a function of one value.
Transform { Lower = "tolower", Upper = "toupper", B64 = "b64", Basename = "basename", Len = "len", Val = "val" });

words!(/// A comparison operator.
Op {
    Exists = "exists", Eq = "=", Ne = "!=", Lt = "<", Le = "<=", Gt = ">", Ge = ">=",
    Contains = "contains", IContains = "icontains", BContains = "bcontains",
    StartsWith = "startswith", BStartsWith = "bstartswith", EndsWith = "endswith",
    Glob = "glob", IGlob = "iglob", Regex = "regex",
    In = "in", Intersects = "intersects", PMatch = "pmatch",
});

impl Op {
    /// Compares with a list and not with one value.
    pub(crate) fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::Intersects | Self::PMatch)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, all: &[Self], word: &str| {
            all.iter().enumerate().try_for_each(|(index, one)| {
                let separator = if index == 0 { String::new() } else { format!(" {word} ") };
                match one {
                    Self::And(_) | Self::Or(_) => write!(f, "{separator}({one})"),
                    _ => write!(f, "{separator}{one}"),
                }
            })
        };
        match self {
            Self::And(all) => joined(f, all, "and"),
            Self::Or(all) => joined(f, all, "or"),
            Self::Not(inner) => match **inner {
                Self::And(_) | Self::Or(_) => write!(f, "not ({inner})"),
                _ => write!(f, "not {inner}"),
            },
            Self::Macro(name, _) => f.write_str(name),
            Self::Check(check) => check.fmt(f),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.op.text())?;
        match &self.right {
            Right::Nothing => Ok(()),
            Right::One(word) => write!(f, " {word}"),
            Right::Operand(operand) => write!(f, " {operand}"),
            Right::Many(words) => {
                f.write_str(" (")?;
                for (index, word) in words.iter().enumerate() {
                    write!(f, "{}{word}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { name, arg: None, .. } => f.write_str(name),
            Self::Field { name, arg: Some(arg), .. } if arg.contains([']', '"', '\'', '[']) => {
                write!(f, "{name}[{}]", Word { text: arg.clone(), quoted: true, at: At(0) })
            }
            Self::Field { name, arg: Some(arg), .. } => write!(f, "{name}[{arg}]"),
            Self::Transform(transform, inner) => write!(f, "{}({inner})", transform.text()),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quoted {
            true => write!(f, "\"{}\"", self.text.replace('\\', "\\\\").replace('"', "\\\"")),
            false => f.write_str(&self.text),
        }
    }
}
