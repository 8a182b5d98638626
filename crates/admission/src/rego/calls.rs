//! Which rule depends on which: the machine does not survive one that depends on itself.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module};

use super::gate::rule_name;
use super::walk::{self, Visitor, names};

/// A rule by its full name, without `data`.
type Rule = Vec<String>;
/// The rules each rule may ask.
pub(super) type Calls = BTreeMap<Rule, BTreeSet<Rule>>;

/// Adds what the rules of `module` ask. A local variable with the name of a rule counts as that rule:
/// a circle too many is refused with its name, one too few would be fatal.
pub(super) fn collect(
    module: &Module,
    aliases: &BTreeMap<String, Vec<String>>,
    rules: &BTreeSet<Rule>,
    calls: &mut Calls,
) {
    let package = names(&module.package.refr).unwrap_or_default();
    for rule in &module.policy {
        let Some(name) = rule_name(rule) else { continue };
        let mut asked = Asked { package: &package, aliases, rules, found: BTreeSet::new() };
        walk::rule(rule, &mut asked);
        let found = asked.found;
        calls.entry([package.clone(), vec![name]].concat()).or_default().extend(found);
    }
}

struct Asked<'a> {
    package: &'a [String],
    aliases: &'a BTreeMap<String, Vec<String>>,
    rules: &'a BTreeSet<Rule>,
    found: BTreeSet<Rule>,
}

impl Visitor for Asked<'_> {
    fn expression(&mut self, expression: &Expr) {
        let Some(mut path) = names(expression) else { return };
        if let Some(target) = path.first().and_then(|first| self.aliases.get(first)) {
            path.splice(..1, target.iter().cloned());
        }
        let path = match path.split_first() {
            Some((root, rest)) if root == "data" => rest.to_vec(),
            Some(_) => [self.package, &path].concat(),
            None => return,
        };
        let meant = |rule: &&Rule| rule.iter().zip(&path).all(|(a, b)| a == b) && !path.is_empty();
        self.found.extend(self.rules.iter().filter(meant).cloned());
    }
}

/// A rule on a circle, if there is one.
pub(super) fn circle(calls: &Calls) -> Option<String> {
    let mut done = BTreeSet::new();
    calls.keys().find_map(|rule| visit(rule, calls, &mut Vec::new(), &mut done))
}

fn visit<'a>(
    rule: &'a Rule,
    calls: &'a Calls,
    path: &mut Vec<&'a Rule>,
    done: &mut BTreeSet<&'a Rule>,
) -> Option<String> {
    if path.contains(&rule) {
        return Some(format!("`{}`", rule.join(".")));
    }
    // The machine itself goes no deeper; so long a chain of rules is refused with it.
    if path.len() > 128 {
        return Some(format!("`{}`, at the end of a chain of more than 128 rules,", rule.join(".")));
    }
    if !done.insert(rule) {
        return None;
    }
    path.push(rule);
    let found = calls.get(rule).into_iter().flatten().find_map(|next| visit(next, calls, path, done));
    path.pop();
    found
}
