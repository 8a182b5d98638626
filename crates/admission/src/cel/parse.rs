//! From text to a checked and metered expression.

use std::collections::BTreeSet;
use std::thread;

use cel::IdedExpr;

use super::{cost, environment, gate};
use crate::fault::Refusal;

/// How deep brackets may nest.
const BRACKETS: usize = 48;
/// How deep an expression may nest once parsed, so that evaluating it fits every worker's stack.
pub(super) const DEPTH: usize = 160;
/// Room to find out how deep a text nests: the parser recurses, texts are bounded.
const STACK: usize = 128 << 20;
/// The longest text read.
const LONGEST: usize = 16_384;

/// An expression, ready to evaluate.
#[derive(Debug)]
pub(super) struct Expression {
    /// With its costs metered.
    pub(super) tree: IdedExpr,
    /// The policy's variables it names.
    pub(super) variables: BTreeSet<String>,
    /// Whether it names the namespace's object.
    pub(super) names_namespace: bool,
}

impl Expression {
    /// Parses and checks `text`, in which the variables `known` may be named.
    pub(super) fn new(part: &str, text: &str, known: &[String]) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal::new(
                part,
                format!("the expression is longer than {LONGEST} bytes; use variables"),
            ));
        }
        if brackets(text) > BRACKETS {
            return Err(Refusal::new(part, format!("brackets nest deeper than {BRACKETS}; use variables")));
        }
        let parsed = thread::scope(|scope| {
            let parser = thread::Builder::new().stack_size(STACK);
            parser.spawn_scoped(scope, || parse(part, text, known)).map(thread::ScopedJoinHandle::join)
        });
        match parsed {
            Ok(Ok(expression)) => expression,
            Ok(Err(_)) | Err(_) => {
                Err(Refusal::new(part, "the parser gave up on the expression; make it simpler"))
            }
        }
    }
}

fn parse(part: &str, text: &str, known: &[String]) -> Result<Expression, Refusal> {
    let program = environment().compile(text).map_err(|faults| match faults.errors.first() {
        Some(fault) => {
            let position = |at: isize| u32::try_from(at).unwrap_or(1).max(1);
            Refusal::new(part, fault.msg.clone()).at(position(fault.pos.0), position(fault.pos.1))
        }
        None => Refusal::new(part, "the expression cannot be parsed"),
    })?;
    let names = gate::check(program.expression(), known).map_err(|fault| {
        let refusal = Refusal::new(part, fault.sentence);
        match program.source_info().offset_for(fault.id) {
            Some((start, _)) => {
                let (line, column) = position(text, start as usize);
                refusal.at(line, column)
            }
            None => refusal,
        }
    })?;
    let tree = cost::metered(program.expression().clone());
    Ok(Expression { tree, variables: names.variables, names_namespace: names.namespace })
}

fn position(text: &str, offset: usize) -> (u32, u32) {
    let before: Vec<char> = text.chars().take(offset).collect();
    let line = before.iter().filter(|c| **c == '\n').count();
    let column = before.iter().rev().take_while(|c| **c != '\n').count();
    (u32::try_from(line + 1).unwrap_or(1), u32::try_from(column + 1).unwrap_or(1))
}

/// The deepest nesting of brackets; those in texts count too, which refuses nothing anybody writes.
fn brackets(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for c in text.bytes() {
        match c {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
