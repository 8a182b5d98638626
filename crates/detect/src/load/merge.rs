//! What an item does to an earlier one of the same name: define, replace, append.

use std::collections::BTreeMap;

use super::item::RuleSays;
use super::shape::Item;
use super::{Catalogue, Exception, List, Macro, Pieces, RuleText};
use crate::fault::{Findings, Spot};
use crate::yaml::{Kind, Text};

/// How an item treats an earlier one.
#[derive(Debug)]
pub(super) enum How {
    /// It stands for itself; an earlier one is replaced.
    Define,
    /// Each key it has is appended to, or replaces, that of the earlier one.
    Override(BTreeMap<String, Change>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Append,
    Replace,
}

impl How {
    /// Reads `override`, or the older `append: true`.
    pub(super) fn read(
        item: &Item<'_>,
        appended: &[&str],
        replaced: &[&str],
        findings: &mut Findings,
    ) -> Self {
        let Some(node) = item.get("override") else {
            return match item.flag("append", findings) {
                Some(true) => Self::appended(item, findings),
                _ => Self::Define,
            };
        };
        let Kind::Map(entries) = &node.kind else {
            findings.fault(node.spot, "`override` should say `append` or `replace` for each key");
            return Self::Override(BTreeMap::new());
        };
        let mut changes = BTreeMap::new();
        for (key, value) in entries {
            let key_text = key.text().map_or("", |text| text.value.as_str());
            let (change, allowed) = match value.text().map(|text| text.value.as_str()) {
                Some("append") => (Change::Append, appended),
                Some("replace") => (Change::Replace, replaced),
                _ => {
                    findings
                        .fault(value.spot, format!("`{key_text}` is overridden by `append` or `replace`"));
                    continue;
                }
            };
            if !allowed.contains(&key_text) {
                findings.fault(
                    key.spot,
                    format!("`{key_text}` cannot be overridden like this; {} can", allowed.join(", ")),
                );
            } else if item.get(key_text).is_none() {
                findings.fault(
                    key.spot,
                    format!("`{key_text}` is said to be overridden, but the item has no such key"),
                );
            } else {
                changes.insert(key_text.to_owned(), change);
            }
        }
        let free = ["rule", "macro", "list", "override"];
        for (key, spot) in item.keys() {
            if !free.contains(&key) && !changes.contains_key(key) && replaced.contains(&key) {
                findings
                    .fault(spot, format!("`override` does not say whether `{key}` is appended or replaced"));
            }
        }
        Self::Override(changes)
    }

    fn appended(item: &Item<'_>, findings: &mut Findings) -> Self {
        let keys = ["condition", "exceptions", "items"];
        findings.note(item.spot, "`append: true` is the old way; write `override: {condition: append}`");
        Self::Override(keys.iter().map(|key| ((*key).to_owned(), Change::Append)).collect())
    }

    fn of(&self, key: &str) -> Option<Change> {
        match self {
            Self::Define => Some(Change::Replace),
            Self::Override(changes) => changes.get(key).copied(),
        }
    }
}

fn missing(what: &str, name: &str, spot: Spot, findings: &mut Findings) {
    findings.fault(
        spot,
        format!("no {what} `{name}` was read before this item, so there is nothing to override"),
    );
}

impl Catalogue {
    pub(super) fn put_list(&mut self, name: &Text, items: Vec<String>, how: &How, findings: &mut Findings) {
        let now = self.clock;
        match (self.lists.get_mut(&name.value), how) {
            (Some(list), how) => {
                if how.of("items") == Some(Change::Replace) {
                    list.items.clear();
                }
                list.items.extend(items);
                list.last = now;
            }
            (None, How::Define) => {
                let list = List { name: name.value.clone(), spot: name.spot, items, first: now, last: now };
                self.lists.push(&name.value, list);
            }
            (None, How::Override(_)) => missing("list", &name.value, name.spot, findings),
        }
    }

    pub(super) fn put_macro(&mut self, name: &Text, condition: &Text, how: &How, findings: &mut Findings) {
        let now = self.clock;
        match (self.macros.get_mut(&name.value), how) {
            (Some(found), how) => {
                if how.of("condition") == Some(Change::Replace) {
                    found.condition.0.clear();
                    found.spot = name.spot;
                }
                found.condition.0.push(condition.clone());
                found.last = now;
            }
            (None, How::Define) => {
                let condition = Pieces(vec![condition.clone()]);
                let item =
                    Macro { name: name.value.clone(), spot: name.spot, condition, first: now, last: now };
                self.macros.push(&name.value, item);
            }
            (None, How::Override(_)) => missing("macro", &name.value, name.spot, findings),
        }
    }

    pub(super) fn put_rule(&mut self, says: RuleSays, how: &How, item: &Item<'_>, findings: &mut Findings) {
        let only = |keys: &[&str]| item.keys().all(|(key, _)| keys.contains(&key));
        match (self.rules.get_mut(&says.name), how) {
            (Some(rule), How::Override(_)) => rule.change(says, how, findings),
            (Some(rule), How::Define) if says.enabled.is_some() && only(&["rule", "enabled"]) => {
                rule.enabled = says.enabled.unwrap_or(rule.enabled);
            }
            (found, How::Define) => {
                let former = found.map(|rule| &mut *rule);
                let Some(rule) = RuleText::whole(says, findings) else { return };
                match former {
                    Some(former) => *former = rule,
                    None => self.rules.push(&rule.name.clone(), rule),
                }
            }
            (None, How::Override(_)) => missing("rule", &says.name, says.spot, findings),
        }
    }
}

impl RuleText {
    /// A rule that stands for itself needs all of its parts.
    fn whole(says: RuleSays, findings: &mut Findings) -> Option<Self> {
        let needed = [
            ("condition", says.condition.is_none()),
            ("output", says.output.is_none()),
            ("desc", says.description.is_none()),
            ("priority", says.priority.is_none()),
        ];
        let lacking: Vec<_> =
            needed.iter().filter(|(_, lacks)| *lacks).map(|(key, _)| format!("`{key}`")).collect();
        if !lacking.is_empty() {
            findings.fault(says.spot, format!("rule `{}` has no usable {}", says.name, lacking.join(", ")));
            return None;
        }
        let exceptions = says.exceptions.unwrap_or_default();
        for exception in exceptions.iter().filter(|exception| exception.fields.is_empty()) {
            findings.fault(exception.spot, format!("exception `{}` needs `fields`", exception.name));
        }
        Some(Self {
            name: says.name,
            spot: says.spot,
            description: says.description.unwrap_or_default(),
            condition: Pieces(says.condition.into_iter().collect()),
            output: Pieces(says.output.into_iter().collect()),
            priority: says.priority.unwrap_or_default(),
            source: says.source.unwrap_or_else(|| "syscall".into()),
            tags: says.tags.unwrap_or_default(),
            enabled: says.enabled.unwrap_or(true),
            warn_types: says.warn_types.unwrap_or(true),
            exceptions,
        })
    }

    fn change(&mut self, says: RuleSays, how: &How, findings: &mut Findings) {
        let join = |pieces: &mut Pieces, text: Option<Text>, change: Option<Change>| {
            if let (Some(text), Some(change)) = (text, change) {
                if change == Change::Replace {
                    pieces.0.clear();
                }
                pieces.0.push(text);
            }
        };
        join(&mut self.condition, says.condition, how.of("condition"));
        join(&mut self.output, says.output, how.of("output"));
        match (says.description, how.of("desc")) {
            (Some(more), Some(Change::Append)) => self.description = format!("{} {more}", self.description),
            (Some(new), Some(Change::Replace)) => self.description = new,
            _ => {}
        }
        match (says.tags, how.of("tags")) {
            (Some(more), Some(Change::Append)) => self.tags.extend(more),
            (Some(new), Some(Change::Replace)) => self.tags = new,
            _ => {}
        }
        self.priority = says.priority.filter(|_| how.of("priority").is_some()).unwrap_or(self.priority);
        self.warn_types = says.warn_types.unwrap_or(self.warn_types);
        self.enabled = says.enabled.filter(|_| how.of("enabled").is_some()).unwrap_or(self.enabled);
        if let (Some(exceptions), Some(change)) = (says.exceptions, how.of("exceptions")) {
            if change == Change::Replace {
                self.exceptions.clear();
            }
            exceptions.into_iter().for_each(|exception| self.except(exception, findings));
        }
    }

    /// An appended exception of a known name adds values; of a new one it is a new exception.
    fn except(&mut self, more: Exception, findings: &mut Findings) {
        match self.exceptions.iter_mut().find(|exception| exception.name == more.name) {
            Some(known) if more.fields.is_empty() => known.rows.extend(more.rows),
            Some(_) => findings.fault(
                more.spot,
                format!("exception `{}` is there already; append `values` to it without `fields`", more.name),
            ),
            None if more.fields.is_empty() => {
                findings.fault(more.spot, format!("exception `{}` is new and needs `fields`", more.name));
            }
            None => self.exceptions.push(more),
        }
    }
}
