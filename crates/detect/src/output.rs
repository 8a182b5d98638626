//! From a rule and an event to a match: the output line, its fields, and the JSON that other
//! tools read (`falcosecurity/falco`, `userspace/engine/formats.cpp`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use outis_model::Timestamp;
use outis_model::alert::Match;
use serde_json::{Value as Json, json};

use crate::compile::operand_of;
use crate::compile::test::Operand;
use crate::fault::{Findings, Source};
use crate::field::value::{Value, View};
use crate::field::{self, Field, Id};
use crate::hide;
use crate::load::RuleText;
use crate::rules::Rule;

/// Fields every match has, named by its output or not.
const SUGGESTED: &[&str] = &[
    "container.id",
    "container.image.repository",
    "container.name",
    "evt.time",
    "evt.type",
    "k8s.ns.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "proc.cmdline",
    "proc.name",
    "proc.pid",
    "proc.pname",
    "user.uid",
];
/// Bytes of one output line, and of one text field.
const MAX_LINE: usize = 16 << 10;
const MAX_FIELD: usize = 8 << 10;

/// An output line with places for fields.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    /// Fields in the match: key and, when we have it, what it is.
    fields: Vec<(String, Option<Operand>)>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// Index into `fields`.
    Field(usize),
}

impl Template {
    /// Reads the output of a rule. A field we do not have is told and printed as `<NA>`.
    pub(crate) fn read(rule: &RuleText, sources: &[Source], findings: &mut Findings) -> Self {
        let text = rule.output.joined();
        let mut template = Self { parts: vec![], fields: vec![] };
        let (mut rest, mut literal) = (text.trim_end(), String::new());
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            let name = key(behind);
            if name.is_empty() {
                literal.push('%');
                rest = behind.strip_prefix('%').unwrap_or(behind);
                continue;
            }
            template.parts.push(Part::Text(std::mem::take(&mut literal)));
            let offset = text.len() - text[text.len() - behind.len()..].len();
            let index = template.field(name, |why| findings.note(rule.output.locate(sources, offset), why));
            template.parts.push(Part::Field(index));
            rest = &behind[name.len()..];
        }
        literal.push_str(rest);
        template.parts.push(Part::Text(literal));
        for name in SUGGESTED {
            template.field(name, |_| {});
        }
        template
    }

    fn field(&mut self, key: &str, tell: impl FnOnce(String)) -> usize {
        if let Some(index) = self.fields.iter().position(|(known, _)| known == key) {
            return index;
        }
        let operand = match operand_of(key) {
            Ok(operand) => Some(operand),
            Err(why) => {
                let near =
                    field::nearest(key).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                tell(format!("{why}, so the output shows <NA> for %{key}{near}"));
                None
            }
        };
        self.fields.push((key.to_owned(), operand));
        self.fields.len() - 1
    }

    fn values<'a>(&self, view: &View<'a>) -> Vec<Value<'a>> {
        let value =
            |operand: &Option<Operand>| operand.as_ref().map_or(Value::Missing, |operand| operand.get(view));
        self.fields.iter().map(|(_, operand)| value(operand)).collect()
    }

    fn line(&self, values: &[Value<'_>], view: &View<'_>) -> String {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(index) => {
                    let time =
                        matches!(&self.fields[*index].1, Some(Operand::Field(Field { id: Id::EvtTime, .. })));
                    let text = if time { clock(view.event.time) } else { printed(&values[*index]) };
                    visible(&text, &mut line);
                }
            }
        }
        cut(&mut line, MAX_LINE);
        line
    }
}

/// The name of a field behind a percent sign, with its argument or around it a transformer.
fn key(text: &str) -> &str {
    let word = |text: &str| {
        let end =
            text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.')).unwrap_or(text.len());
        text[..end].trim_end_matches('.').len()
    };
    let mut end = word(text);
    let bracket = |end: usize| text[end..].starts_with('[').then(|| text[end..].find(']')).flatten();
    if text[end..].starts_with('(') && crate::language::Transform::named(&text[..end]).is_some() {
        return text.find(')').map_or("", |close| &text[..=close]);
    }
    if !text[..end].contains('.') {
        return "";
    }
    end += bracket(end).map_or(0, |close| close + 1);
    &text[..end]
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// Control characters are written as escapes: a line stays a line, a terminal is not told what
/// to do by an attacker's arguments.
fn visible(text: &str, into: &mut String) {
    for c in text.chars() {
        match c.is_control() {
            true => into.extend(c.escape_default()),
            false => into.push(c),
        }
    }
}

fn printed(value: &Value<'_>) -> String {
    match value {
        Value::Missing => "<NA>".into(),
        Value::Text(text) => text.clone().into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Ips(one, other) => ends(one.as_ref(), other.as_ref()),
        Value::Ports(one, other) => ends(one.as_ref(), other.as_ref()),
        Value::Ancestors(all) => all.iter().map(|one| one.comm.as_str()).collect::<Vec<_>>().join("->"),
    }
}

fn ends<T: std::fmt::Display>(one: Option<&T>, other: Option<&T>) -> String {
    let mut text = String::new();
    for end in [one, other].into_iter().flatten() {
        let separator = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{separator}{end}");
    }
    text
}

fn json_of(value: &Value<'_>) -> Option<Json> {
    match value {
        Value::Missing => None,
        Value::Int(number) => Some((*number).into()),
        Value::Bool(value) => Some((*value).into()),
        other => {
            let mut text = printed(other);
            cut(&mut text, MAX_FIELD);
            Some(text.into())
        }
    }
}

/// `18:28:15.123456789`, UTC.
fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S.%9f").to_string()
}

/// What a rule says of an event, with credentials hidden.
pub(crate) fn found(rule: &Rule, view: &View<'_>) -> Match {
    let values = rule.output.values(view);
    let output = rule.output.line(&values, view);
    let fields: BTreeMap<_, _> = rule
        .output
        .fields
        .iter()
        .zip(&values)
        .map(|((key, _), value)| (key.clone(), json_of(value)))
        .collect();
    hide::redacted(Match {
        rule: rule.name.clone(),
        priority: rule.priority,
        tags: rule.tags.clone(),
        output,
        fields,
        stamp: view.event.stamp,
    })
}

/// A match as the JSON that tools behind Falco read.
#[must_use]
pub fn falco_json(found: &Match, hostname: &str, time: Timestamp) -> Json {
    json!({
        "hostname": hostname,
        "output": format!("{}: {} {}", clock(time), found.priority, found.output),
        "output_fields": found.fields,
        "priority": found.priority.to_string(),
        "rule": found.rule.as_str(),
        "source": "syscall",
        "tags": found.tags,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_where_the_field_ends() {
        for (text, expected) in [
            ("proc.name command", "proc.name"),
            ("proc.aname[2] x", "proc.aname[2]"),
            ("fd.name.", "fd.name"),
            ("proc.name)", "proc.name"),
            ("%s", ""),
            ("d items", ""),
            ("toupper(proc.name) x", "toupper(proc.name)"),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_stays_a_line_and_short() {
        let mut line = String::new();
        visible("a\nb\u{1b}[2J", &mut line);
        assert_eq!(line, "a\\nb\\u{1b}[2J");
        let mut long = "é".repeat(10);
        cut(&mut long, 5);
        assert_eq!(long, "éé…");
    }
}
