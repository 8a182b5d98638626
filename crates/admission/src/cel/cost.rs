//! What an evaluation may cost: elements iterated over, and bytes and elements put together.
//!
//! Expressions cannot loop but over what is there; so it suffices to charge for every list or map that
//! is iterated over or searched, and for every text or list that is made. A call around these parts of
//! an expression counts them, and fails once the allowance is used up; the failure may be absorbed by
//! an `||`, so that it happened is asked for afterwards.

use std::cell::Cell;

use cel::common::ast::{CallExpr, EntryExpr, Expr, operators};
use cel::common::types::{CelBytes, CelString, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr};

/// No text in an expression can name it.
const CHARGE: &str = "@charge";

/// Calls whose result is charged for.
const MAKERS: [&str; 14] = [
    "_+_",
    "replace",
    "split",
    "join",
    "format",
    "flatten",
    "reverse",
    "sort",
    "distinct",
    "slice",
    "findAll",
    "string",
    "strings.quote",
    "@sortByAssociatedKeys",
];

thread_local! {
    /// What is left of the allowance of the evaluation that runs on this thread; `None` when used up.
    static LEFT: Cell<Option<u64>> = const { Cell::new(Some(0)) };
}

/// Starts an evaluation that may take so many steps.
pub(super) fn allow(steps: u64) {
    LEFT.set(Some(steps));
}

/// Whether the evaluation wanted more than it was allowed.
pub(super) fn exhausted() -> bool {
    LEFT.get().is_none()
}

/// Adds the counting function to `env`.
pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(CHARGE, CHARGE, vec![DYN_TYPE], charge)
}

fn charge<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
    let left = LEFT.get().and_then(|left| left.checked_sub(size(value.as_ref()).saturating_add(1)));
    LEFT.set(left);
    match left {
        Some(_) => Ok(value),
        None => Err(ExecutionError::function_error("cost", "the expression takes too many steps")),
    }
}

fn size(value: &dyn Val) -> u64 {
    let counted = value.as_sizer().and_then(|sizer| u64::try_from(*sizer.size().inner()).ok());
    let text = || value.downcast_ref::<CelString<'_>>().map(|text| text.inner().len() as u64);
    let bytes = || value.downcast_ref::<CelBytes<'_>>().map(|bytes| bytes.inner().len() as u64);
    text().or_else(bytes).or(counted).unwrap_or(1)
}

/// The expression with its costly parts counted.
pub(super) fn metered(mut at: IdedExpr) -> IdedExpr {
    match &mut at.expr {
        Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => {}
        Expr::Select(select) => in_place(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(in_place),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| self::entry(&mut entry.expr)),
        Expr::Struct(literal) => literal.entries.iter_mut().for_each(|entry| self::entry(&mut entry.expr)),
        Expr::Comprehension(loops) => {
            for part in [
                &mut loops.iter_range,
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ] {
                in_place(part);
            }
            loops.iter_range = counted(std::mem::take(&mut loops.iter_range));
        }
        Expr::Call(call) => {
            if let Some(target) = &mut call.target {
                in_place(target);
            }
            call.args.iter_mut().for_each(in_place);
            if call.func_name == operators::IN
                && let Some(searched) = call.args.last_mut()
            {
                *searched = counted(std::mem::take(searched));
            }
            if makes(call) {
                return counted(at);
            }
        }
    }
    at
}

fn in_place(at: &mut IdedExpr) {
    *at = metered(std::mem::take(at));
}

fn entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => in_place(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            in_place(&mut entry.key);
            in_place(&mut entry.value);
        }
    }
}

/// The list a `map` or `filter` grows is the interpreter's own, and is paid for by its range; counting
/// it would hide it from the interpreter, which then copies it each time.
fn makes(call: &CallExpr) -> bool {
    let grows = matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
    MAKERS.contains(&call.func_name.as_str()) && !grows
}

fn counted(at: IdedExpr) -> IdedExpr {
    let id = at.id;
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: CHARGE.into(), target: None, args: vec![at] }) }
}
