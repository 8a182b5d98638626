//! Where the machine is known to differ from OPA, modules are rewritten so that it does not. Each
//! rewrite only ever inserts text into a line, so the lines of the author's text keep their numbers.
//!
//! 1. `a` newline `(b) >= c`: two statements, which the parser takes for a call. A `;` parts them.
//! 2. `sprintf` with too few or too many arguments: undefined, so the violation around it would be
//!    lost. A text is made all the same.
//! 3. `x := y.z` with `y.z` undefined: OPA ends the body, the machine goes on with `x` undefined. `x` is
//!    compared with itself, which ends it.
//! 4. `not f(x.y)` with `x.y` undefined: OPA looks `x.y` up before it negates, so the body is
//!    undefined; the machine would take the negation for true.

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Module};

use super::walk::{self, Visitor};
use super::{Refusal, Text, parse};

/// The package of the rewritten calls, under `lib`.
pub(super) const LIBRARY: &str = "outis_text";

/// Text to insert, or to put in the place of some.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

fn apply(text: &Text, mut edits: Vec<Edit>) -> Text {
    edits.sort_by_key(|edit| (edit.start, edit.end));
    // Of two that overlap the outer one wins: it moves the text the inner one would change.
    edits.dedup_by(|later, kept| later.start < kept.end);
    edits.retain(|edit| edit.start != edit.end || !edit.text.is_empty());
    let mut out = text.text.clone();
    for edit in edits.iter().rev() {
        out.replace_range(edit.start..edit.end, &edit.text);
    }
    Text { part: text.part.clone(), text: out }
}

/// Parts statements that the parser joins over the end of a line.
pub(super) fn statements(mut text: Text, v0: bool) -> Result<Text, Refusal> {
    // Each round parts one level of nesting; the parser allows 32.
    for _ in 0..32 {
        let mut joined = Joined { source: text.text.clone(), edits: Vec::new() };
        walk::module(&parse(&text, v0)?, &mut joined);
        if joined.edits.is_empty() {
            break;
        }
        text = apply(&text, joined.edits);
    }
    Ok(text)
}

struct Joined {
    source: String,
    edits: Vec<Edit>,
}

impl Visitor for Joined {
    fn expression(&mut self, expression: &Expr) {
        let (head, opening) = match expression {
            Expr::Call { fcn, .. } => (fcn, '('),
            Expr::RefBrack { refr, .. } => (refr, '['),
            _ => return,
        };
        let end = head.span().end as usize;
        let gap = self.source.get(end..).and_then(|rest| rest.split(opening).next()).unwrap_or_default();
        let blank = gap.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if gap.contains('\n') && blank {
            self.edits.push(Edit { start: end, end, text: ";".into() });
        }
    }
}

/// Rewrites assignments, and calls: of `sprintf`, and those that are negated.
pub(super) fn calls(text: &Text, module: &Module) -> Text {
    let mut bodies = Bodies { source: &text.text, edits: Vec::new(), count: 0 };
    walk::module(module, &mut bodies);
    let mended = apply(text, bodies.edits);
    let mut printed = Printed { edits: Vec::new() };
    // The rewritten text parses: what is moved is moved whole. Should it not, compiling says so.
    let Ok(module) = parse(&mended, !module.rego_v1) else { return mended };
    walk::module(&module, &mut printed);
    apply(&mended, printed.edits)
}

struct Bodies<'a> {
    source: &'a str,
    edits: Vec<Edit>,
    count: usize,
}

impl Visitor for Bodies<'_> {
    fn statement(&mut self, statement: &LiteralStmt) {
        match &statement.literal {
            Literal::NotExpr { expr, .. } => self.negated(statement, expr),
            Literal::Expr { expr, .. } => self.assigned(statement, expr),
            _ => {}
        }
    }
}

impl Bodies<'_> {
    fn assigned(&mut self, statement: &LiteralStmt, expression: &Expr) {
        let Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } = expression else { return };
        let Expr::Var { span, .. } = lhs.as_ref() else { return };
        let name = span.text();
        if name != "_" && may_be_undefined(rhs) {
            self.surround(statement, "", &format!("; {name} == {name}"));
        }
    }

    fn negated(&mut self, statement: &LiteralStmt, expression: &Expr) {
        let start = statement.span.start as usize;
        let between = self.source.get(start..expression.span().start as usize).unwrap_or_default();
        let arguments: Vec<_> = match expression {
            Expr::Call { params, .. } => params.iter().collect(),
            Expr::Membership { key, value, collection, .. } => {
                key.iter().chain([value, collection]).collect()
            }
            Expr::BoolExpr { lhs, rhs, .. } if between.contains('(') => vec![lhs, rhs],
            _ => return,
        };
        let mut before = String::new();
        for argument in arguments.into_iter().filter(|argument| may_be_undefined(argument)) {
            let span = argument.span();
            self.count += 1;
            let name = format!("outis_operand_{}", self.count);
            before.push_str(&format!("{name} := {}; {name} == {name}; ", span.text()));
            self.edits.push(Edit { start: span.start as usize, end: span.end as usize, text: name });
        }
        if !before.is_empty() {
            self.surround(statement, &before, "");
        }
    }

    /// Puts statements before and after one. A body of one statement after `if` has no braces to put
    /// several into.
    fn surround(&mut self, statement: &LiteralStmt, before: &str, after: &str) {
        let (start, end) = (statement.span.start as usize, statement.span.end as usize);
        let bare = self.source.get(..start).is_some_and(|text| text.trim_end().ends_with("if"));
        let (open, close) = if bare { ("{ ", " }") } else { ("", "") };
        self.edits.push(Edit { start, end: start, text: format!("{open}{before}") });
        self.edits.push(Edit { start: end, end, text: format!("{after}{close}") });
    }
}

fn may_be_undefined(argument: &Expr) -> bool {
    match argument {
        Expr::Var { span, .. } => span.text() != "_",
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().any(|item| may_be_undefined(item))
        }
        Expr::Object { fields, .. } => fields.iter().any(|(_, _, value)| may_be_undefined(value)),
        Expr::RefDot { .. }
        | Expr::RefBrack { .. }
        | Expr::Call { .. }
        | Expr::ArithExpr { .. }
        | Expr::BinExpr { .. } => true,
        _ => false,
    }
}

struct Printed {
    edits: Vec<Edit>,
}

impl Visitor for Printed {
    fn expression(&mut self, expression: &Expr) {
        let Expr::Call { fcn, params, .. } = expression else { return };
        let [format, arguments] = params.as_slice() else { return };
        if fcn.span().text() != "sprintf" || never_fails(format, arguments) {
            return;
        }
        let span = fcn.span();
        let text = format!("data.lib.{LIBRARY}.printed");
        self.edits.push(Edit { start: span.start as usize, end: span.end as usize, text });
    }
}

/// Whether the format is constant, all its verbs take any value, and there is one argument for each.
fn never_fails(format: &Expr, arguments: &Expr) -> bool {
    let (Expr::String { value, .. } | Expr::RawString { value, .. }, Expr::Array { items, .. }) =
        (format, arguments)
    else {
        return false;
    };
    let Ok(format) = value.as_string() else { return false };
    let mut rest = format.as_ref();
    let mut verbs = 0;
    while let Some(at) = rest.find('%') {
        match rest.as_bytes().get(at + 1) {
            Some(b's' | b'v') => verbs += 1,
            Some(b'%') => {}
            _ => return false,
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    verbs == items.len()
}

/// What the rewritten calls call: a text whenever the operands have the right types.
pub(super) fn library(v0: bool) -> Text {
    let (sign, body) = if v0 { ("=", "") } else { (":=", "if ") };
    let text = format!(
        "package lib.{LIBRARY}\n\
         printed(form, values) {sign} text {body}{{\n\
         text := sprintf(form, values)\n\
         is_string(text)\n\
         }} else {sign} text {body}{{\n\
         is_string(form)\n\
         is_array(values)\n\
         text := concat(\" \", [form, json.marshal(values)])\n\
         }}\n"
    );
    Text { part: "the library of the policy engine".into(), text }
}
