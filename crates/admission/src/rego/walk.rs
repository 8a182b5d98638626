//! Every expression and every statement of a module, outermost first.

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Query, Ref, Rule, RuleAssign, RuleHead};

/// What to do with them.
pub(super) trait Visitor {
    /// An expression.
    fn expression(&mut self, _: &Expr) {}
    /// A statement of a body.
    fn statement(&mut self, _: &LiteralStmt) {}
}

pub(super) fn module(module: &Module, visitor: &mut dyn Visitor) {
    for one in &module.policy {
        rule(one, visitor);
    }
}

pub(super) fn rule(rule: &Rule, visitor: &mut dyn Visitor) {
    match rule {
        Rule::Spec { head, bodies, .. } => {
            self::head(head, visitor);
            for body in bodies {
                assign(body.assign.as_ref(), visitor);
                query(&body.query, visitor);
            }
        }
        Rule::Default { args, value, .. } => all(args.iter().chain([value]), visitor),
    }
}

fn head(head: &RuleHead, visitor: &mut dyn Visitor) {
    // The reference in a head names the rule; only its keys and arguments are expressions.
    match head {
        RuleHead::Compr { refr, assign, .. } => {
            keys(refr, visitor);
            self::assign(assign.as_ref(), visitor);
        }
        RuleHead::Set { refr, key, .. } => {
            keys(refr, visitor);
            all(key, visitor);
        }
        RuleHead::Func { args, assign, .. } => {
            all(args, visitor);
            self::assign(assign.as_ref(), visitor);
        }
    }
}

fn keys(refr: &Expr, visitor: &mut dyn Visitor) {
    match refr {
        Expr::RefBrack { refr, index, .. } => {
            keys(refr, visitor);
            expression(index, visitor);
        }
        Expr::RefDot { refr, .. } => keys(refr, visitor),
        _ => {}
    }
}

fn assign(assign: Option<&RuleAssign>, visitor: &mut dyn Visitor) {
    all(assign.map(|assign| &assign.value), visitor);
}

fn query(query: &Query, visitor: &mut dyn Visitor) {
    for statement in &query.stmts {
        visitor.statement(statement);
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                all(key.iter().chain([value, collection]), visitor)
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => expression(expr, visitor),
            Literal::Every { domain, query, .. } => {
                expression(domain, visitor);
                self::query(query, visitor);
            }
        }
        for modifier in &statement.with_mods {
            expression(&modifier.r#as, visitor);
        }
    }
}

fn all<'a>(expressions: impl IntoIterator<Item = &'a Ref<Expr>>, visitor: &mut dyn Visitor) {
    for one in expressions {
        expression(one, visitor);
    }
}

/// The parser bounds how deep expressions nest.
fn expression(one: &Expr, visitor: &mut dyn Visitor) {
    visitor.expression(one);
    match one {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
        Expr::Array { items, .. } | Expr::Set { items, .. } => all(items, visitor),
        Expr::Object { fields, .. } => all(fields.iter().flat_map(|(_, key, value)| [key, value]), visitor),
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            expression(term, visitor);
            self::query(query, visitor);
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            all([key, value], visitor);
            self::query(query, visitor);
        }
        Expr::Call { fcn, params, .. } => all([fcn].into_iter().chain(params), visitor),
        Expr::UnaryExpr { expr, .. } => expression(expr, visitor),
        Expr::RefDot { refr, .. } => expression(refr, visitor),
        Expr::RefBrack { refr, index, .. } => all([refr, index], visitor),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => all([lhs, rhs], visitor),
        Expr::Membership { key, value, collection, .. } => {
            all(key.iter().chain([value, collection]), visitor)
        }
    }
}

/// The names a reference is made of, as far as they are constant: `data.lib["x"].y[i]` is
/// `data`, `lib`, `x`, `y`.
pub(super) fn names(refr: &Expr) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut at = refr;
    loop {
        match at {
            Expr::Var { span, .. } => {
                names.push(span.text().to_owned());
                names.reverse();
                return Some(names);
            }
            Expr::RefDot { refr, field, .. } => {
                names.push(field.0.text().to_owned());
                at = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                match index.as_ref() {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => {
                        names.push(value.as_string().map(|name| name.to_string()).unwrap_or_default());
                    }
                    // What follows depends on values: only what comes before is a name.
                    _ => names.clear(),
                }
                at = refr;
            }
            _ => return None,
        }
    }
}
