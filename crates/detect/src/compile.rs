//! Conditions with a meaning: lists and macros put in their places, fields found, literals made
//! into what they are compared as. What cannot be told here stays in the tree as `Lacking`.

mod cond;
mod except;
mod lower;
mod resolve;
pub(crate) mod test;
#[cfg(test)]
mod tests;

pub(crate) use cond::{Cond, Type};
pub(crate) use resolve::Resolver;

/// The operand a text such as `proc.aname[2]` or `toupper(proc.name)` names.
pub(crate) fn operand_of(text: &str) -> Result<test::Operand, String> {
    use crate::language::{Check, Expr, parse};
    let Ok(Expr::Check(Check { left, .. })) = parse(&format!("{text} exists")) else {
        return Err(format!("{text:?} is no field"));
    };
    match lower::operand(&left) {
        Ok(Ok(operand)) => Ok(operand),
        Ok(Err(missing)) => Err(format!("there is no {missing}")),
        Err((_, text)) => Err(text),
    }
}
