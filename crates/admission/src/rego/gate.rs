//! What may not be in a module: whatever depends on more than the request, and references that could
//! only ever be undefined, because a rule on top of them silently never fires.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module, Rule, RuleHead, Span};

use super::calls::{self, Calls};
use super::walk::{self, Visitor, names};
use super::{Refusal, Text};

/// Builtins that look at more than their arguments, and why each is refused.
const IMPURE: [(&str, &str); 7] = [
    ("external_data", "asks a server outside"),
    ("http.send", "asks a server outside"),
    ("net.lookup_ip_addr", "asks a name server"),
    ("opa.runtime", "reads the environment"),
    ("rand.intn", "gives another answer each time"),
    ("time.now_ns", "reads the clock"),
    ("uuid.rfc4122", "gives another answer each time"),
];

/// The parts of `input`.
const INPUT: [&str; 2] = ["parameters", "review"];

/// Checks all modules, the policy's own first, and says which rule gives the verdicts.
pub(super) fn check(texts: &[Text], modules: &[Module]) -> Result<String, Refusal> {
    let mut rules = BTreeSet::new();
    let mut entry = None;
    for (index, (text, module)) in texts.iter().zip(modules).enumerate() {
        let package = names(&module.package.refr).unwrap_or_default();
        let own = rule_names(module);
        if index == 0 {
            if !own.contains("violation") {
                let sentence = "the module defines no `violation`; its elements are the verdicts";
                return Err(refuse(text, &module.package.span, sentence));
            }
            if package.first().is_some_and(|first| first == "lib") {
                return Err(refuse(
                    text,
                    &module.package.span,
                    "packages under `lib` are for libraries; choose another",
                ));
            }
            entry = Some(format!("data.{}.violation", package.join(".")));
        } else if package.first().is_none_or(|first| first != "lib") || package.len() < 2 {
            return Err(refuse(
                text,
                &module.package.span,
                "a library's package must be under `lib`, such as `package lib.images`",
            ));
        }
        if package.iter().any(|name| name == super::mend::LIBRARY) {
            return Err(refuse(
                text,
                &module.package.span,
                "this package name is taken by the policy engine; choose another",
            ));
        }
        rules.extend(own.into_iter().map(|rule| [package.clone(), vec![rule]].concat()));
    }
    let mut calls = Calls::new();
    for (text, module) in texts.iter().zip(modules) {
        let aliases = references(text, module, &rules)?;
        calls::collect(module, &aliases, &rules, &mut calls);
    }
    if let Some(circle) = calls::circle(&calls) {
        return Err(Refusal::new(
            "rego.source",
            format!("{circle} depends on itself; rules must not be recursive"),
        ));
    }
    entry.ok_or_else(|| Refusal::new("rego.source", "there is no module"))
}

fn refuse(text: &Text, span: &Span, sentence: impl Into<String>) -> Refusal {
    Refusal::new(text.part.clone(), sentence).at(span.line, span.col)
}

fn rule_names(module: &Module) -> BTreeSet<String> {
    module.policy.iter().filter_map(|rule| rule_name(rule)).collect()
}

/// The name of a rule within its package.
pub(super) fn rule_name(rule: &Rule) -> Option<String> {
    let refr = match rule {
        Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
            ..
        }
        | Rule::Default { refr, .. } => refr,
    };
    names(refr).and_then(|names| names.into_iter().next())
}

/// Checks all references of a module, and says what its imports stand for.
fn references(
    text: &Text,
    module: &Module,
    rules: &BTreeSet<Vec<String>>,
) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
    let mut gate = Gate { text, rules, aliases: BTreeMap::new(), refusal: None };
    for import in &module.imports {
        let path = names(&import.refr).unwrap_or_default();
        let alias = import.r#as.as_ref().map(|span| span.text().to_owned()).or_else(|| path.last().cloned());
        match path.first().map(String::as_str) {
            Some("future" | "rego") => continue,
            Some("data" | "input") => gate.path(&path, &import.span),
            _ => gate.refuse(
                &import.span,
                format!("`import {}` is neither of `input` nor of `data.lib`", path.join(".")),
            ),
        }
        alias.map(|alias| gate.aliases.insert(alias, path));
    }
    walk::module(module, &mut gate);
    gate.refusal.map_or(Ok(gate.aliases), Err)
}

struct Gate<'a> {
    text: &'a Text,
    rules: &'a BTreeSet<Vec<String>>,
    aliases: BTreeMap<String, Vec<String>>,
    refusal: Option<Refusal>,
}

impl Gate<'_> {
    /// The first refusal is the one people read.
    fn refuse(&mut self, span: &Span, sentence: String) {
        self.refusal.get_or_insert_with(|| refuse(self.text, span, sentence));
    }

    fn path(&mut self, path: &[String], span: &Span) {
        let [root, rest @ ..] = path else { return };
        let Some(first) = rest.first() else { return };
        if root == "input" && !INPUT.contains(&first.as_str()) {
            let text = format!(
                "`input.{first}` is never there; the request is `input.review`, parameters are `input.parameters`"
            );
            return self.refuse(span, text);
        }
        if root != "data" {
            return;
        }
        if first == "inventory" {
            return self
                .refuse(span, "`data.inventory` is not available: policies judge the request alone".into());
        }
        let shared = |rule: &Vec<String>| rule.iter().zip(rest).all(|(a, b)| a == b);
        if !self.rules.iter().any(shared) {
            self.refuse(span, format!("`{}` names no rule of the policy or its libraries", path.join(".")));
        }
    }
}

impl Visitor for Gate<'_> {
    fn expression(&mut self, expression: &Expr) {
        if let Expr::Call { fcn, span, .. } = expression {
            let name = fcn.span().text();
            if let Some((_, why)) = IMPURE.iter().find(|(builtin, _)| *builtin == name) {
                self.refuse(
                    span,
                    format!("`{name}` {why}; a verdict depends on the request and its parameters alone"),
                );
            }
        }
        if !matches!(expression, Expr::RefDot { .. } | Expr::RefBrack { .. }) {
            return;
        }
        let Some(mut path) = names(expression) else { return };
        if let Some(target) = path.first().and_then(|first| self.aliases.get(first)) {
            path.splice(..1, target.iter().cloned());
        }
        self.path(&path, expression.span());
    }
}
