//! YAML as a tree that remembers where everything stands. A parser's events and not a
//! deserialiser's values, because a fault in one rule must not hide those of the next, and a fault
//! inside a condition is told with its own line and column.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use crate::fault::Spot;

/// Bytes of one source.
const MAX_BYTES: usize = 4 << 20;
/// Nodes of one source, aliases counted with what they stand for.
const MAX_NODES: usize = 200_000;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) spot: Spot,
    pub(crate) kind: Kind,
    size: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text(Text),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// A scalar: its value, and where in the source it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) plain: bool,
    pub(crate) start: usize,
    pub(crate) spot: Spot,
}

impl Text {
    /// `~`, `null` or nothing, unquoted.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.value.as_str(), "" | "~" | "null")
    }

    /// The place of a byte of the value. Folding and quoting change white space and add escapes
    /// only, so the n-th visible character of the value is the n-th of the source. The end of the
    /// value is right behind its last visible character.
    pub(crate) fn locate(&self, source: &str, offset: usize) -> Spot {
        let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        let end = (0..=offset.min(self.value.len())).rev().find(|end| self.value.is_char_boundary(*end));
        let (before, behind) = self.value.split_at(end.unwrap_or(0));
        let (mut before, at_end) = (visible(before), visible(behind) == 0);
        let Spot { mut line, mut column, .. } = self.spot;
        let rest = source.get(self.start..).unwrap_or_default();
        let mut header = rest.starts_with(['>', '|']);
        let mut quoted = rest.starts_with(['"', '\'']);
        let mut last = ' ';
        for c in rest.chars() {
            if c == '\n' {
                (line, column, header) = (line + 1, 1, false);
                continue;
            }
            let escape = (c == '\\' && rest.starts_with('"') && last != '\\')
                || (c == '\'' && rest.starts_with('\'') && last == '\'');
            if !header && !c.is_whitespace() && !quoted && !escape {
                if before == 0 {
                    break;
                }
                before -= 1;
                if before == 0 && at_end {
                    column += 1;
                    break;
                }
            }
            last = if last == c { ' ' } else { c };
            quoted = false;
            column += 1;
        }
        Spot { line, column, ..self.spot }
    }
}

impl Node {
    pub(crate) fn text(&self) -> Option<&Text> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// In words, for faults.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Text(text) if text.is_null() => "nothing",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Builder {
    source: usize,
    stack: Vec<(Spot, usize, Open)>,
    anchors: HashMap<usize, Node>,
    documents: Vec<Node>,
    nodes: usize,
}

/// The documents of a source. What stands before a fault is still returned.
pub(crate) fn documents(source: usize, text: &str) -> (Vec<Node>, Option<(Spot, String)>) {
    if text.len() > MAX_BYTES {
        let why = format!("the file has {} bytes; at most {MAX_BYTES} are read: split it", text.len());
        return (vec![], Some((Spot { source, line: 1, column: 1 }, why)));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = 64;
    options.flow_nesting_limit = 64;
    let mut builder = Builder { source, stack: vec![], anchors: HashMap::new(), documents: vec![], nodes: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let result = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err((builder.mark(error.marker()), format!("this is not YAML: {}", error.info()))),
        };
        if let Err(fault) = result {
            return (builder.documents, Some(fault));
        }
    }
    (builder.documents, None)
}

impl Builder {
    fn mark(&self, mark: &granit_parser::Marker) -> Spot {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Spot { source: self.source, line: number(mark.line().max(1)), column: number(mark.col() + 1) }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), (Spot, String)> {
        let spot = self.mark(&span.start);
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let start = span.start.byte_offset().unwrap_or(0);
                let plain = style == ScalarStyle::Plain;
                let kind = Kind::Text(Text { value: value.into_owned(), plain, start, spot });
                self.put(Node { spot, kind, size: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(spot, anchor, Open::List(vec![])),
            Event::MappingStart(_, anchor, _) => self.open(spot, anchor, Open::Map(vec![], None)),
            Event::SequenceEnd | Event::MappingEnd => self.shut(),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(node) => self.put(node, 0),
                None => Err((spot, "this alias stands inside of what it names; write the value out".into())),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, spot: Spot, anchor: usize, open: Open) -> Result<(), (Spot, String)> {
        self.stack.push((spot, anchor, open));
        Ok(())
    }

    fn shut(&mut self) -> Result<(), (Spot, String)> {
        let Some((spot, anchor, open)) = self.stack.pop() else { return Ok(()) };
        let node = match open {
            Open::List(items) => {
                let size = 1 + items.iter().map(|item| item.size).sum::<usize>();
                Node { spot, kind: Kind::List(items), size }
            }
            Open::Map(entries, _) => {
                let size = 1 + entries.iter().map(|(key, value)| key.size + value.size).sum::<usize>();
                Node { spot, kind: Kind::Map(entries), size }
            }
        };
        self.nodes -= (node.size - 1).min(self.nodes);
        self.put(node, anchor)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), (Spot, String)> {
        self.nodes += node.size;
        if self.nodes > MAX_NODES {
            let why = format!("the file has more than {MAX_NODES} values, aliases written out: split it");
            return Err((node.spot, why));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some((_, _, Open::List(items))) => items.push(node),
            Some((_, _, Open::Map(entries, pending))) => match pending.take() {
                None => *pending = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(text: &str, needle: &str) -> (u32, u32) {
        let (documents, fault) = documents(0, text);
        assert!(fault.is_none(), "{fault:?}");
        let Kind::Map(entries) = &documents[0].kind else { panic!("a mapping") };
        let value = entries[0].1.text().expect("a text");
        let spot = value.locate(text, value.value.find(needle).expect("there"));
        (spot.line, spot.column)
    }

    #[test]
    fn a_byte_of_a_value_is_found_in_the_source() {
        assert_eq!(place("a: b and here", "here"), (1, 10));
        assert_eq!(place("a: >\n  b and\n  c or here\n", "here"), (3, 8));
        assert_eq!(place("a: |\n  b and\n\n  here\n", "here"), (4, 3));
        assert_eq!(place("a: 'b '' here'", "here"), (1, 10));
        assert_eq!(place("a: \"b \\\" here\"", "here"), (1, 10));
    }

    #[test]
    fn the_end_of_a_value_is_behind_its_last_character() {
        for (text, expected) in
            [("a: b c\nd: e", (1, 7)), ("a: >\n  b\n  c\n\nd: e", (3, 4)), ("a: 'b'\nd: e", (1, 6))]
        {
            let (documents, _) = documents(0, text);
            let Kind::Map(entries) = &documents[0].kind else { panic!("a mapping") };
            let value = entries[0].1.text().expect("a text");
            let spot = value.locate(text, value.value.len());
            assert_eq!((spot.line, spot.column), expected, "{text}");
        }
    }

    #[test]
    fn aliases_are_counted_with_what_they_stand_for() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        let (_, fault) = documents(0, bomb);
        assert!(fault.expect("too many").1.contains("aliases written out"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "[ -~\n\t]{0,200}|\\PC{0,80}") {
            for node in documents(0, &text).0 {
                if let Some(value) = node.text() {
                    let _ = value.locate(&text, value.value.len());
                }
            }
        }
    }
}
