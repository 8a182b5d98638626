//! What an expression may name: functions and variables that are there, so that nothing fails only once
//! a request comes along.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

use super::parse::DEPTH;

/// Every function, by the name it is called by; methods without their receiver.
pub(super) const FUNCTIONS: &[&str] = &[
    // the language
    "size",
    "string",
    "bytes",
    "bool",
    "int",
    "uint",
    "double",
    "type",
    "dyn",
    "timestamp",
    "duration",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    // optional values
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "hasValue",
    "value",
    "or",
    "orValue",
    // texts
    "charAt",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "reverse",
    "format",
    "strings.quote",
    "base64.encode",
    "base64.decode",
    // lists
    "slice",
    "flatten",
    "distinct",
    "sort",
    "@sortByAssociatedKeys",
    "isSorted",
    "sum",
    "min",
    "max",
    // numbers
    "math.@max",
    "math.@min",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.trunc",
    "math.abs",
    "math.sign",
    "math.isNaN",
    "math.isInf",
    "math.isFinite",
    "math.sqrt",
    "math.bitAnd",
    "math.bitOr",
    "math.bitXor",
    "math.bitNot",
    "math.bitShiftLeft",
    "math.bitShiftRight",
    // Kubernetes
    "find",
    "findAll",
    "quantity",
    "isQuantity",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "sign",
    "add",
    "sub",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "ip",
    "isIP",
    "ip.isCanonical",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "cidr",
    "isCIDR",
    "containsIP",
    "containsCIDR",
    "masked",
    "prefixLength",
    "semver",
    "isSemver",
    "major",
    "minor",
    "patch",
];

/// The variables of a request.
pub(super) const VARIABLES: [&str; 5] = ["object", "oldObject", "request", "params", "namespaceObject"];

/// Names of types.
const TYPES: [&str; 12] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
    "dyn",
];

/// What is wrong with an expression, and at which node.
pub(super) struct Fault {
    pub(super) id: u64,
    pub(super) sentence: String,
}

/// What an expression names.
#[derive(Default)]
pub(super) struct Names {
    pub(super) variables: BTreeSet<String>,
    pub(super) namespace: bool,
}

/// Checks an expression in which the policy's variables `known` may be named.
pub(super) fn check(expression: &IdedExpr, known: &[String]) -> Result<Names, Fault> {
    let mut gate = Gate { known, local: Vec::new(), names: Names::default(), depth: 0 };
    gate.expression(expression)?;
    Ok(gate.names)
}

struct Gate<'a> {
    known: &'a [String],
    local: Vec<&'a str>,
    names: Names,
    depth: usize,
}

fn fault<T>(at: &IdedExpr, sentence: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { id: at.id, sentence: sentence.into() })
}

impl<'a> Gate<'a> {
    fn expression(&mut self, at: &'a IdedExpr) -> Result<(), Fault> {
        if self.depth > DEPTH {
            return fault(at, format!("the expression nests deeper than {DEPTH}; use variables"));
        }
        self.depth += 1;
        let result = self.node(at);
        self.depth -= 1;
        result
    }

    fn node(&mut self, at: &'a IdedExpr) -> Result<(), Fault> {
        match &at.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Unspecified => fault(at, "the expression has a part without meaning"),
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == "variables" => self.variable(at, &select.field, select.test),
                _ => self.expression(&select.operand),
            },
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(literal) => {
                fault(at, format!("`{}{{...}}` is no type that can be made here", literal.type_name))
            }
            Expr::Call(call) => {
                self.function(at, call.target.as_deref(), &call.func_name)?;
                self.all(&call.args)
            }
            Expr::Comprehension(loops) => {
                self.all([&loops.iter_range, &loops.accu_init])?;
                let before = self.local.len();
                self.local.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.local.extend(loops.iter_var2.as_deref());
                self.all([&loops.loop_cond, &loops.loop_step, &loops.result])?;
                self.local.truncate(before);
                Ok(())
            }
        }
    }

    fn all(&mut self, expressions: impl IntoIterator<Item = &'a IdedExpr>) -> Result<(), Fault> {
        expressions.into_iter().try_for_each(|one| self.expression(one))
    }

    fn entry(&mut self, entry: &'a EntryExpr) -> Result<(), Fault> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => self.all([&entry.key, &entry.value]),
        }
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Result<(), Fault> {
        if self.local.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        if VARIABLES.contains(&name) {
            self.names.namespace |= name == "namespaceObject";
            return Ok(());
        }
        match name {
            "authorizer" => fault(at, "`authorizer` is not available: policies judge the request alone"),
            "variables" => fault(at, "`variables` is used as `variables.<name>` only"),
            _ => {
                let known = VARIABLES.join(", ");
                fault(at, format!("there is no variable `{name}`; there are {known} and `variables.<name>`"))
            }
        }
    }

    fn variable(&mut self, at: &IdedExpr, name: &str, test: bool) -> Result<(), Fault> {
        if !self.known.iter().any(|known| known == name) {
            return fault(at, format!("there is no variable `variables.{name}` before this expression"));
        }
        if test {
            return fault(at, format!("`has(variables.{name})` says nothing: the variable is defined"));
        }
        self.names.variables.insert(name.to_owned());
        Ok(())
    }

    fn function(&mut self, at: &IdedExpr, target: Option<&'a IdedExpr>, name: &str) -> Result<(), Fault> {
        if operator(name) {
            return target.map_or(Ok(()), |target| self.expression(target));
        }
        if let Some(Expr::Ident(namespace)) = target.map(|target| &target.expr)
            && !self.local.contains(&namespace.as_str())
            && FUNCTIONS.contains(&format!("{namespace}.{name}").as_str())
        {
            return Ok(());
        }
        if let Some(target) = target {
            self.expression(target)?;
        }
        if FUNCTIONS.contains(&name) { Ok(()) } else { fault(at, format!("there is no function `{name}`")) }
    }
}

fn operator(name: &str) -> bool {
    name.starts_with('_') && name.ends_with(['_', ']', '.'])
        || matches!(name, "!_" | "-_" | "@in" | "@not_strictly_false" | "_?._" | "_[?_]")
}
