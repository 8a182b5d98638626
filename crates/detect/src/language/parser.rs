//! Reads a condition by recursive descent over its characters: what a word is depends on where it
//! stands (`proc.aname[2]=x`, `fd.num=-1`, `runc:[0:PARENT]`), so there is no separate lexer.
//! Grammar: `falcosecurity/libs`, `userspace/libsinsp/filter/parser.h`.

use super::{At, Check, Expr, Op, Operand, Right, Transform, Word};

/// Parentheses, negations and transformers inside each other.
const MAX_DEPTH: usize = 200;
/// Nodes of one condition.
const MAX_NODES: usize = 20_000;

/// What is wrong, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) at: usize,
    pub(crate) text: String,
}

type Parsed<T> = Result<T, ParseError>;

/// A whole condition.
pub(crate) fn parse(text: &str) -> Parsed<Expr> {
    let mut parser = Parser { text, at: 0, depth: 0, nodes: 0 };
    let expr = parser.any()?;
    parser.blank();
    match parser.rest().is_empty() {
        true => Ok(expr),
        false => Err(parser.wrong(format!(
            "the condition should end here or go on with `and` or `or`, not with {}",
            parser.seen()
        ))),
    }
}

/// An item of a list as it would be read in a condition: quotes around it are taken off.
pub(crate) fn unquote(item: &str) -> String {
    let mut parser = Parser { text: item, at: 0, depth: 0, nodes: 0 };
    match item.starts_with(['"', '\'']).then(|| parser.quoted()) {
        Some(Ok(text)) if parser.rest().is_empty() => text,
        _ => item.to_owned(),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    nodes: usize,
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

pub(super) fn in_bare(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '\'' | '=' | ',')
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn wrong(&self, text: impl Into<String>) -> ParseError {
        ParseError { at: self.at, text: text.into() }
    }

    fn seen(&self) -> String {
        match self.rest().chars().next() {
            None => "its end".into(),
            Some(_) => {
                let word = self.word(|c| !c.is_whitespace());
                format!("{:?}", word.chars().take(40).collect::<String>())
            }
        }
    }

    fn word(&self, fits: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c| !fits(c)).unwrap_or(rest.len())]
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    /// A keyword with nothing of a name behind it.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.blank();
        let found = self.word(in_name) == keyword;
        self.at += if found { keyword.len() } else { 0 };
        found
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.nodes += 1;
        if self.depth >= MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(self.wrong(format!(
                "the condition nests deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} parts; make macros of its parts"
            )));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Parsed<Expr> {
        self.joined("or", Expr::Or, |parser| parser.joined("and", Expr::And, Self::not))
    }

    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Expr>) -> Expr,
        part: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let first = part(self)?;
        let mut all = vec![first];
        while self.keyword(word) {
            all.push(part(self)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { join(all) })
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.keyword("not") {
            return Ok(Expr::Not(Box::new(self.deeper(Self::not)?)));
        }
        self.blank();
        if !self.symbol("(") {
            return self.deeper(Self::check_or_macro);
        }
        let inner = self.deeper(Self::any)?;
        self.blank();
        match self.symbol(")") {
            true => Ok(inner),
            false => Err(self.wrong(format!("a closing parenthesis is missing before {}", self.seen()))),
        }
    }

    fn check_or_macro(&mut self) -> Parsed<Expr> {
        let start = self.at;
        let name = self.word(in_name);
        if name.is_empty() || matches!(name, "and" | "or") {
            let expected = "a field, a macro, `not` or a parenthesis";
            return Err(self.wrong(format!("{expected} should stand here, not {}", self.seen())));
        }
        let transform = Transform::named(name).is_some()
            && self.text[self.at + name.len()..].trim_start().starts_with('(');
        if !transform && !name.contains('.') {
            self.at += name.len();
            let behind = self.at;
            if !self.rest().starts_with('[') && self.operator().is_none() {
                self.at = behind;
                return Ok(Expr::Macro(name.to_owned(), At(start)));
            }
            self.at = start;
            return Err(self.wrong(format!(
                "{name:?} is compared like a field, but a field has a class and a name, as in `proc.name`"
            )));
        }
        let left = self.operand()?;
        self.check(left, start).map(Expr::Check)
    }

    fn check(&mut self, left: Operand, start: usize) -> Parsed<Check> {
        let Some(op) = self.operator() else {
            let known = Op::ALL.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" ");
            return Err(self.wrong(format!(
                "an operator should stand behind `{left}`, not {}; there are {known}",
                self.seen()
            )));
        };
        self.blank();
        let right = match op {
            Op::Exists => Right::Nothing,
            op if op.takes_list() => self.list(op)?,
            op => self.one(op)?,
        };
        Ok(Check { left, op, right, at: At(start) })
    }

    fn operand(&mut self) -> Parsed<Operand> {
        self.blank();
        let start = self.at;
        let name = self.word(in_name);
        if let Some(transform) = Transform::named(name) {
            self.at += name.len();
            self.blank();
            if self.symbol("(") {
                let inner = self.deeper(Self::operand)?;
                self.blank();
                return match self.symbol(")") {
                    true => Ok(Operand::Transform(transform, Box::new(inner))),
                    false => Err(self.wrong(format!("`{name}(` is not closed before {}", self.seen()))),
                };
            }
            self.at = start;
        }
        if !name.contains('.') {
            return Err(
                self.wrong(format!("a field such as `proc.name` should stand here, not {}", self.seen()))
            );
        }
        self.at += name.len();
        let arg = if self.symbol("[") { Some(self.argument()?) } else { None };
        Ok(Operand::Field { name: name.to_owned(), arg, at: At(start) })
    }

    fn argument(&mut self) -> Parsed<String> {
        let arg = match self.rest().starts_with(['"', '\'']) {
            true => self.quoted()?,
            false => {
                let arg = self.word(|c| !matches!(c, ']' | '[' | '"' | '\''));
                self.at += arg.len();
                arg.trim().to_owned()
            }
        };
        match self.symbol("]") {
            true => Ok(arg),
            false => Err(self.wrong(format!("`]` should close the field's argument before {}", self.seen()))),
        }
    }

    fn operator(&mut self) -> Option<Op> {
        self.blank();
        for (symbol, op) in [
            ("==", Op::Eq),
            ("=", Op::Eq),
            ("!=", Op::Ne),
            ("<=", Op::Le),
            ("<", Op::Lt),
            (">=", Op::Ge),
            (">", Op::Gt),
        ] {
            if self.symbol(symbol) {
                return Some(op);
            }
        }
        let word = self.word(in_name);
        let op = Op::named(word)?;
        self.at += word.len();
        Some(op)
    }

    fn one(&mut self, op: Op) -> Parsed<Right> {
        let transform = Transform::named(self.word(in_name));
        if let Some(transform) = transform
            && self.text[self.at + transform.text().len()..].trim_start().starts_with('(')
        {
            return self.operand().map(Right::Operand);
        }
        match self.literal()? {
            Some(word) => Ok(Right::One(word)),
            None => {
                Err(self.wrong(format!("a value should stand behind `{}`, not {}", op.text(), self.seen())))
            }
        }
    }

    fn list(&mut self, op: Op) -> Parsed<Right> {
        if !self.symbol("(") {
            return self.one(op).map(|right| match right {
                Right::One(word) => Right::Many(vec![word]),
                other => other,
            });
        }
        let mut words = Vec::new();
        loop {
            self.blank();
            if self.symbol(")") {
                return Ok(Right::Many(words));
            }
            if !words.is_empty() && !self.symbol(",") {
                return Err(self.wrong(format!("`,` or `)` should stand here, not {}", self.seen())));
            }
            self.blank();
            self.nodes += 1;
            match self.literal()? {
                Some(word) => words.push(word),
                None if !words.is_empty() && self.rest().starts_with(')') => {}
                None => return Err(self.wrong(format!("a value should stand here, not {}", self.seen()))),
            }
        }
    }

    fn literal(&mut self) -> Parsed<Option<Word>> {
        let at = At(self.at);
        if self.rest().starts_with(['"', '\'']) {
            return Ok(Some(Word { text: self.quoted()?, quoted: true, at }));
        }
        let text = self.word(in_bare);
        self.at += text.len();
        Ok((!text.is_empty()).then(|| Word { text: text.to_owned(), quoted: false, at }))
    }

    fn quoted(&mut self) -> Parsed<String> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map_or('"', |(_, quote)| quote);
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    // Only quotes and the backslash itself are escaped; `\d` stays for `regex`.
                    Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                c if c == quote => {
                    self.at = start + offset + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.wrong("this quote is not closed"))
    }
}
