//! Comparisons of texts. Patterns run on the `regex` crate, whose time is linear in the text.

use std::collections::HashSet;

use regex::{Regex, RegexBuilder};

use super::PathTree;
use crate::language::Op;

/// Bytes a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A text comparison made ready.
#[derive(Debug)]
pub(crate) enum TextTest {
    Is(Box<str>),
    Not(Box<str>),
    Contains(Box<str>),
    /// Lower case on both sides.
    IContains(Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    BContains(Box<[u8]>),
    BStarts(Box<[u8]>),
    /// `glob`, `iglob`, `regex`, of the whole text.
    Pattern(Box<Regex>),
    In(HashSet<Box<str>>),
    /// Below one of these paths.
    Below(PathTree),
}

impl TextTest {
    /// Makes a comparison with one text ready, or says why it cannot be.
    pub(crate) fn one(op: Op, text: &str) -> Result<Self, String> {
        let bytes =
            || hex(text).ok_or_else(|| format!("`{}` takes bytes in hexadecimal, not {text:?}", op.text()));
        Ok(match op {
            Op::Eq => Self::Is(text.into()),
            Op::Ne => Self::Not(text.into()),
            Op::Contains => Self::Contains(text.into()),
            Op::IContains => Self::IContains(text.to_lowercase().into()),
            Op::StartsWith => Self::Starts(text.into()),
            Op::EndsWith => Self::Ends(text.into()),
            Op::BContains => Self::BContains(bytes()?),
            Op::BStartsWith => Self::BStarts(bytes()?),
            Op::Glob => Self::Pattern(glob(text, false)?),
            Op::IGlob => Self::Pattern(glob(text, true)?),
            Op::Regex => Self::Pattern(pattern(&format!(r"\A(?:{text})\z"), false)?),
            _ => return Err(format!("`{}` compares numbers, and this is a text", op.text())),
        })
    }

    /// Makes a comparison with several texts ready.
    pub(crate) fn many(op: Op, texts: impl Iterator<Item = String>) -> Result<Self, String> {
        Ok(match op {
            Op::PMatch => Self::Below(PathTree::new(texts)?),
            _ => Self::In(texts.map(String::into_boxed_str).collect()),
        })
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(other) => text == &**other,
            Self::Not(other) => text != &**other,
            Self::Contains(part) => text.contains(&**part),
            Self::IContains(part) => contains_lower(text, part),
            Self::Starts(part) => text.starts_with(&**part),
            Self::Ends(part) => text.ends_with(&**part),
            Self::BContains(part) => {
                part.is_empty() || text.as_bytes().windows(part.len()).any(|window| window == &**part)
            }
            Self::BStarts(part) => text.as_bytes().starts_with(part),
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::In(all) => all.contains(text),
            Self::Below(tree) => tree.holds(text),
        }
    }

    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Is(_) | Self::Not(_) | Self::Starts(_) | Self::Ends(_) | Self::BStarts(_) => 1,
            Self::In(_) => 2,
            Self::Contains(_) | Self::BContains(_) => 3,
            Self::IContains(_) | Self::Below(_) => 5,
            Self::Pattern(_) => 8,
        }
    }
}

/// Whether the lower-case form of `text` holds `part`, which is lower case already. ASCII, which
/// nearly all is, costs no copy.
fn contains_lower(text: &str, part: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(part);
    }
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Compares with a text that is only known now.
pub(super) fn compare(op: Op, left: &str, right: &str) -> bool {
    match op {
        Op::Eq | Op::In | Op::Intersects => left == right,
        Op::Ne => left != right,
        Op::Contains => left.contains(right),
        Op::IContains => contains_lower(left, &right.to_lowercase()),
        Op::StartsWith => left.starts_with(right),
        Op::EndsWith => left.ends_with(right),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => super::ordered(op, left, right),
        _ => TextTest::one(op, right).is_ok_and(|test| test.holds(left)),
    }
}

fn hex(text: &str) -> Option<Box<[u8]>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn pattern(text: &str, insensitive: bool) -> Result<Box<Regex>, String> {
    let built = RegexBuilder::new(text).case_insensitive(insensitive).size_limit(PATTERN_BYTES).build();
    built.map(Box::new).map_err(|error| {
        let last = error.to_string();
        format!("the pattern cannot be used: {}", last.lines().last().unwrap_or("it is too large").trim())
    })
}

/// `*`, `?`, `[set]`, `\x` of `fnmatch` without flags: `*` and `?` match `/` as well.
pub(super) fn glob(text: &str, insensitive: bool) -> Result<Box<Regex>, String> {
    let mut regex = String::from(r"(?s)\A");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                while chars.next_if_eq(&'*').is_some() {}
                regex.push_str(".*");
            }
            '?' => regex.push('.'),
            '[' => set(&mut chars, &mut regex),
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    pattern(&regex, insensitive)
}

/// A set in brackets; a bracket that is not closed stands for itself.
fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, regex: &mut String) {
    let mut rest = chars.clone();
    let negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut inside = String::new();
    loop {
        match rest.next() {
            None => return regex.push_str(r"\["),
            Some(']') if !inside.is_empty() => break,
            Some('-') => inside.push('-'),
            Some(c) => inside.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    *chars = rest;
    regex.push_str(if negated { "[^" } else { "[" });
    regex.push_str(&inside);
    regex.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn globs(glob: &str, text: &str) -> bool {
        TextTest::one(Op::Glob, glob).expect(glob).holds(text)
    }

    #[test]
    fn globs_are_those_of_fnmatch() {
        for (glob, text, expected) in [
            ("*../*../*", "../../etc/shadow", true),
            ("*../*../*", "../etc/shadow", false),
            ("/home/*/.ssh/*", "/home/a/b/.ssh/id", true),
            ("a?c", "a/c", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[abc", "[abc", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("a.c", "abc", false),
            ("*", "line\nline", true),
            ("[&~]", "&", true),
        ] {
            assert_eq!(globs(glob, text), expected, "{glob} {text}");
        }
        assert!(TextTest::one(Op::IGlob, "A*").expect("glob").holds("abc"));
    }

    proptest! {
        #[test]
        fn any_glob_is_usable_or_says_why(glob in "\\PC{0,12}|[a-c*?\\[\\]!^\\\\-]{0,12}", text in "[a-c]{0,6}") {
            if let Ok(test) = TextTest::one(Op::Glob, &glob) {
                let _ = test.holds(&text);
            }
            prop_assert!(TextTest::one(Op::Glob, &regex::escape(&text)).is_ok_and(|test| test.holds(&text)));
        }

        #[test]
        fn icontains_is_contains_in_lower_case(text in "[A-Za-z é]{0,12}", part in "[A-Za-z é]{0,3}") {
            let test = TextTest::one(Op::IContains, &part).expect("any text");
            prop_assert_eq!(test.holds(&text), text.to_lowercase().contains(&part.to_lowercase()));
        }
    }
}
