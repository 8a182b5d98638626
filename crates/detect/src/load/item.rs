//! The kinds of items a file holds: versions, lists, macros, rules. What an item says is read
//! first; what it does to an earlier item of the same name is `merge`'s.

use outis_model::RuleName;
use outis_model::alert::Priority;

use super::shape::{Item, texts};
use super::{Catalogue, Cell, ENGINE, Exception, merge};
use crate::fault::{Findings, Spot};
use crate::yaml::{Kind, Node, Text};

/// What one item says of a rule; `None` where it says nothing.
#[derive(Debug, Default)]
pub(super) struct RuleSays {
    pub(super) name: String,
    pub(super) spot: Spot,
    pub(super) description: Option<String>,
    pub(super) condition: Option<Text>,
    pub(super) output: Option<Text>,
    pub(super) priority: Option<Priority>,
    pub(super) source: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) enabled: Option<bool>,
    pub(super) warn_types: Option<bool>,
    pub(super) exceptions: Option<Vec<Exception>>,
}

/// The last three mean nothing to us: a rule that names unknown fields is always loaded and listed as
/// not active, and nothing is captured.
const RULE_KEYS: &[&str] = &[
    "rule",
    "desc",
    "condition",
    "output",
    "priority",
    "source",
    "tags",
    "enabled",
    "exceptions",
    "override",
    "append",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
];

impl Catalogue {
    pub(super) fn take(&mut self, node: &Node, findings: &mut Findings) {
        let Some(item) = Item::new(node, findings) else { return };
        self.clock += 1;
        match item.first_key() {
            Some("required_engine_version") => engine(&item, findings),
            Some("required_plugin_versions") => plugins(&item, findings),
            _ if item.get("rule").is_some() => self.rule(&item, findings),
            _ if item.get("macro").is_some() => self.macro_item(&item, findings),
            _ if item.get("list").is_some() => self.list(&item, findings),
            key => {
                let key = key.map_or_else(|| "nothing".into(), |key| format!("`{key}`"));
                let right = "`rule`, `macro`, `list` or `required_engine_version`";
                findings.fault(item.spot, format!("an item begins with {right}, not with {key}"));
            }
        }
    }

    fn list(&mut self, item: &Item<'_>, findings: &mut Findings) {
        item.note_unknown(&["list", "items", "append", "override"], findings);
        let (Some(name), Some(items)) = (item.text("list", findings), item.texts("items", findings)) else {
            if item.get("items").is_none() {
                findings.fault(item.spot, "a list needs `items`");
            }
            return;
        };
        let how = merge::How::read(item, &["items"], &["items"], findings);
        self.put_list(name, items, &how, findings);
    }

    fn macro_item(&mut self, item: &Item<'_>, findings: &mut Findings) {
        item.note_unknown(&["macro", "condition", "append", "override"], findings);
        let (Some(name), Some(condition)) = (item.text("macro", findings), item.text("condition", findings))
        else {
            if item.get("condition").is_none() {
                findings.fault(item.spot, "a macro needs a `condition`");
            }
            return;
        };
        let how = merge::How::read(item, &["condition"], &["condition"], findings);
        self.put_macro(name, condition, &how, findings);
    }

    fn rule(&mut self, item: &Item<'_>, findings: &mut Findings) {
        item.note_unknown(RULE_KEYS, findings);
        let Some(name) = item.text("rule", findings) else { return };
        if let Err(error) = name.value.parse::<RuleName>() {
            findings.fault(name.spot, error.to_string());
            return;
        }
        let priority = item.text("priority", findings).and_then(|text| {
            let parsed = text.value.trim().parse();
            parsed.inspect_err(|error: &String| findings.fault(text.spot, error.clone())).ok()
        });
        let owned = |text: &Text| text.value.trim_end().to_owned();
        let says = RuleSays {
            name: name.value.clone(),
            spot: name.spot,
            description: item.text("desc", findings).map(owned),
            condition: item.text("condition", findings).cloned(),
            output: item.text("output", findings).cloned(),
            priority,
            source: item.text("source", findings).map(owned),
            tags: item.texts("tags", findings),
            enabled: item.flag("enabled", findings),
            warn_types: item.flag("warn_evttypes", findings),
            exceptions: item.get("exceptions").map(|node| exceptions(node, findings)),
        };
        let appended = &["condition", "output", "desc", "tags", "exceptions"];
        let replaced = &[
            "condition",
            "output",
            "desc",
            "tags",
            "exceptions",
            "priority",
            "enabled",
            "warn_evttypes",
            "skip-if-unknown-filter",
            "capture",
            "capture_duration",
        ];
        let how = merge::How::read(item, appended, replaced, findings);
        self.put_rule(says, &how, item, findings);
    }
}

fn engine(item: &Item<'_>, findings: &mut Findings) {
    let Some(text) = item.text("required_engine_version", findings) else { return };
    match version(&text.value) {
        Some(wanted) if wanted > ENGINE => findings.fault(
            text.spot,
            format!(
                "the file asks for engine version {}, and this engine reads files up to 0.{}",
                text.value, ENGINE[1]
            ),
        ),
        Some(_) => {}
        None => findings.fault(text.spot, format!("{:?} is no version such as 0.57.0", text.value)),
    }
}

/// `57`, the old way of writing 0.57.0, or three numbers.
fn version(text: &str) -> Option<[u64; 3]> {
    let mut numbers = text.trim().split('.').map(|part| part.parse::<u64>().ok());
    let found: Vec<u64> = numbers.by_ref().take(4).collect::<Option<_>>()?;
    match found[..] {
        [minor] => Some([0, minor, 0]),
        [major, minor] => Some([major, minor, 0]),
        [major, minor, patch] => Some([major, minor, patch]),
        _ => None,
    }
}

/// Plugins whose fields we have ourselves.
const BUILT_IN: &[&str] = &["container", "k8smeta"];

fn plugins(item: &Item<'_>, findings: &mut Findings) {
    let Some(Node { kind: Kind::List(wanted), .. }) = item.get("required_plugin_versions") else {
        findings.fault(item.spot, "`required_plugin_versions` should be a list of names with versions");
        return;
    };
    for node in wanted {
        let Some(plugin) = Item::new(node, findings) else { continue };
        let Some(name) = plugin.text("name", findings) else {
            findings.fault(node.spot, "a required plugin needs a `name`");
            continue;
        };
        let here = |item: &Item<'_>, findings: &mut Findings| {
            item.text("name", findings).is_some_and(|name| BUILT_IN.contains(&name.value.as_str()))
        };
        let others = plugin.get("alternatives").map(|node| &node.kind);
        let others = if let Some(Kind::List(others)) = others { others.as_slice() } else { &[] };
        let mut all = others.iter().filter_map(|node| Item::new(node, findings)).collect::<Vec<_>>();
        all.push(plugin);
        if !all.iter().any(|item| here(item, findings)) {
            let why = "rules that use its fields are not active";
            findings.note(name.spot, format!("there is no plugin `{}` here; {why}", name.value));
        }
    }
}

fn exceptions(node: &Node, findings: &mut Findings) -> Vec<Exception> {
    let Kind::List(items) = &node.kind else {
        findings.fault(node.spot, format!("`exceptions` should be a list, not {}", node.what()));
        return vec![];
    };
    items.iter().filter_map(|item| exception(item, findings)).collect()
}

fn exception(node: &Node, findings: &mut Findings) -> Option<Exception> {
    let item = Item::new(node, findings)?;
    item.note_unknown(&["name", "fields", "comps", "values"], findings);
    let Some(name) = item.text("name", findings) else {
        findings.fault(node.spot, "an exception needs a `name`");
        return None;
    };
    let (names, single) = match item.get("fields").map(|node| &node.kind) {
        None => (vec![], false),
        Some(Kind::Text(text)) => (vec![text.value.clone()], true),
        Some(Kind::List(nodes)) => (texts(nodes, "fields", findings), false),
        Some(Kind::Map(_)) => {
            findings.fault(node.spot, "`fields` of an exception is a field or a list of fields");
            return None;
        }
    };
    let default = if single { "in" } else { "=" };
    let comps = match item.get("comps").map(|node| &node.kind) {
        Some(Kind::Text(text)) => vec![text.value.clone()],
        Some(Kind::List(nodes)) => texts(nodes, "comps", findings),
        _ => vec![default.to_owned(); names.len()],
    };
    if comps.len() != names.len() {
        let (fields, comps) = (names.len(), comps.len());
        findings.fault(
            item.spot,
            format!("exception `{}` has {fields} fields and {comps} comps; each field needs one", name.value),
        );
        return None;
    }
    let rows = item.get("values").map_or_else(Vec::new, |values| rows(values, findings));
    let fields = names.into_iter().zip(comps).collect();
    Some(Exception { name: name.value.clone(), spot: name.spot, fields, single, rows })
}

fn rows(values: &Node, findings: &mut Findings) -> Vec<Vec<Cell>> {
    let cell = |node: &Node, findings: &mut Findings| match &node.kind {
        Kind::Text(text) => Some(Cell::One(text.value.clone())),
        Kind::List(items) => Some(Cell::Many(texts(items, "values", findings))),
        Kind::Map(_) => {
            findings.fault(node.spot, "a value of an exception is a text or a list of texts");
            None
        }
    };
    match &values.kind {
        Kind::List(nodes) => nodes
            .iter()
            .map(|row| match &row.kind {
                Kind::List(cells) => cells.iter().filter_map(|node| cell(node, findings)).collect(),
                _ => cell(row, findings).into_iter().collect(),
            })
            .collect(),
        Kind::Text(text) if text.is_null() => vec![],
        _ => {
            findings.fault(values.spot, "`values` of an exception should be a list");
            vec![]
        }
    }
}
