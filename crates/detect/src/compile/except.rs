//! Exceptions of rules as conditions: one per row of values, each field compared with its value.

use super::cond::Cond;
use super::lower;
use super::resolve::Resolver;
use crate::language::{self, Expr, Word};
use crate::load::{Cell, Exception};

impl Resolver<'_> {
    /// One condition per row of values.
    pub(super) fn exception(&self, exception: &Exception) -> Result<Vec<Cond>, String> {
        let rows: Vec<Vec<Cell>> = match exception.single {
            // One field: every value is one of the list it is compared with.
            true => {
                let values = exception.rows.iter().flatten().flat_map(|cell| match cell {
                    Cell::One(text) => vec![text.clone()],
                    Cell::Many(texts) => texts.clone(),
                });
                let values: Vec<_> = values.collect();
                if values.is_empty() { vec![] } else { vec![vec![Cell::Many(values)]] }
            }
            false => exception.rows.clone(),
        };
        rows.iter().map(|row| self.row(exception, row)).collect()
    }

    fn row(&self, exception: &Exception, row: &[Cell]) -> Result<Cond, String> {
        if row.len() != exception.fields.len() {
            return Err(format!("a row has {} values for {} fields", row.len(), exception.fields.len()));
        }
        let check = |((field, comp), cell): (&(String, String), &Cell)| {
            let op = language::Op::named(if comp == "==" { "=" } else { comp });
            let op = op
                .filter(|op| *op != language::Op::Exists)
                .ok_or_else(|| format!("{comp:?} is no comparison"))?;
            let word = |text: &String| {
                let text = text.trim_start_matches('(').trim_end_matches(')');
                let unquoted = language::unquote(text);
                Word { quoted: unquoted != text, text: unquoted, at: language::At(0) }
            };
            let right = match (cell, op.takes_list()) {
                (Cell::Many(texts), true) => language::Right::Many(texts.iter().map(word).collect()),
                (Cell::One(text), true) => language::Right::Many(vec![word(text)]),
                (Cell::One(text), false) => language::Right::One(Word {
                    text: language::unquote(text),
                    quoted: false,
                    at: language::At(0),
                }),
                (Cell::Many(texts), false) if exception.single && texts.len() == 1 => {
                    language::Right::One(word(&texts[0]))
                }
                (Cell::Many(_), false) => return Err(format!("`{comp}` takes one value, not a list")),
            };
            let left = match language::parse(&format!("{field} exists")) {
                Ok(Expr::Check(check)) => check.left,
                _ => return Err(format!("{field:?} is no field")),
            };
            let check = language::Check { left, op, right, at: language::At(0) };
            lower::check(&check, self).map_err(|(_, text)| text)
        };
        exception.fields.iter().zip(row).map(check).collect::<Result<_, _>>().map(Cond::And)
    }
}
