//! Reading the keys of one item: each key once, each value of its shape, unknown keys noted.

use crate::fault::{Findings, Spot};
use crate::yaml::{Kind, Node, Text};

/// The entries of an item.
pub(super) struct Item<'a> {
    pub(super) spot: Spot,
    entries: &'a [(Node, Node)],
}

impl<'a> Item<'a> {
    /// A mapping with text keys, each there once.
    pub(super) fn new(node: &'a Node, findings: &mut Findings) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            findings
                .fault(node.spot, format!("an item is a mapping such as `rule: name`, not {}", node.what()));
            return None;
        };
        for (index, (key, _)) in entries.iter().enumerate() {
            let Some(name) = key.text() else {
                findings.fault(key.spot, format!("a key is a text, not {}", key.what()));
                continue;
            };
            let same =
                |(other, _): &(Node, Node)| other.text().is_some_and(|other| other.value == name.value);
            if entries[..index].iter().any(same) {
                findings
                    .fault(key.spot, format!("the key `{}` stands twice in one item; keep one", name.value));
            }
        }
        Some(Self { spot: node.spot, entries })
    }

    pub(super) fn first_key(&self) -> Option<&'a str> {
        self.entries.first().and_then(|(key, _)| key.text()).map(|text| text.value.as_str())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&'a str, Spot)> + use<'a> {
        self.entries.iter().filter_map(|(key, _)| key.text().map(|text| (text.value.as_str(), key.spot)))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        let named = |(found, _): &&(Node, Node)| found.text().is_some_and(|text| text.value == key);
        self.entries.iter().find(named).map(|(_, value)| value)
    }

    /// Keys nobody reads are told: most are misspelt.
    pub(super) fn note_unknown(&self, known: &[&str], findings: &mut Findings) {
        for (key, spot) in self.keys().filter(|(key, _)| !known.contains(key)) {
            findings
                .note(spot, format!("the key `{key}` means nothing here; there are {}", known.join(", ")));
        }
    }

    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<&'a Text> {
        let node = self.get(key)?;
        match node.text() {
            Some(text) if !text.is_null() => Some(text),
            _ => {
                findings.fault(node.spot, format!("`{key}` should be a text, not {}", node.what()));
                None
            }
        }
    }

    pub(super) fn flag(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        let node = self.get(key)?;
        match node.text().map(|text| text.value.to_ascii_lowercase()).as_deref() {
            Some("true" | "yes" | "on") => Some(true),
            Some("false" | "no" | "off") => Some(false),
            _ => {
                findings.fault(node.spot, format!("`{key}` should be true or false"));
                None
            }
        }
    }

    pub(super) fn texts(&self, key: &str, findings: &mut Findings) -> Option<Vec<String>> {
        let node = self.get(key)?;
        match &node.kind {
            Kind::List(items) => Some(texts(items, key, findings)),
            Kind::Text(text) if text.is_null() => Some(vec![]),
            _ => {
                findings.fault(node.spot, format!("`{key}` should be a list, not {}", node.what()));
                None
            }
        }
    }
}

/// The texts of a list; anything else in it is a fault.
pub(super) fn texts(items: &[Node], key: &str, findings: &mut Findings) -> Vec<String> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match item.text() {
            Some(text) => found.push(text.value.clone()),
            None => findings
                .fault(item.spot, format!("an element of `{key}` should be a text, not {}", item.what())),
        }
    }
    found
}
