//! Sources into a catalogue: lists, macros and rules as written, later items merged onto earlier
//! ones. Nothing means anything yet; `compile` does that.

mod item;
mod merge;
mod shape;

use std::collections::HashMap;

use outis_model::alert::Priority;

use crate::fault::{Findings, Source, Spot};
use crate::yaml::{self, Kind, Text};

/// The language version whose files we read; `required_engine_version` is compared with it.
pub(crate) const ENGINE: [u64; 3] = [0, 62, 0];

/// A text of several pieces, joined by blanks: a condition with what later items appended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces(pub(crate) Vec<Text>);

impl Pieces {
    pub(crate) fn joined(&self) -> String {
        self.0.iter().map(|piece| piece.value.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Where a byte of the joined text stands.
    pub(crate) fn locate(&self, sources: &[Source], offset: usize) -> Spot {
        let mut begin = 0;
        for (index, piece) in self.0.iter().enumerate() {
            let last = index + 1 == self.0.len();
            if last || offset <= begin + piece.value.len() {
                let text = sources.get(piece.spot.source).map_or("", |source| source.text.as_str());
                return piece.locate(text, offset.saturating_sub(begin));
            }
            begin += piece.value.len() + 1;
        }
        Spot::default()
    }
}

/// A list: its items, in which names of earlier lists may stand.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) name: String,
    pub(crate) spot: Spot,
    pub(crate) items: Vec<String>,
    /// When it was first and last written, for what may see it and what it may see.
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// A macro: a condition with a name.
#[derive(Debug, Clone)]
pub(crate) struct Macro {
    pub(crate) name: String,
    pub(crate) spot: Spot,
    pub(crate) condition: Pieces,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// An exception of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Exception {
    pub(crate) name: String,
    pub(crate) spot: Spot,
    /// Fields with how they are compared.
    pub(crate) fields: Vec<(String, String)>,
    /// One field with a list of values, written without brackets.
    pub(crate) single: bool,
    /// One row per value tuple; each cell is one value or a list.
    pub(crate) rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Cell {
    One(String),
    Many(Vec<String>),
}

/// A rule as written.
#[derive(Debug, Clone)]
pub(crate) struct RuleText {
    pub(crate) name: String,
    pub(crate) spot: Spot,
    pub(crate) description: String,
    pub(crate) condition: Pieces,
    pub(crate) output: Pieces,
    pub(crate) priority: Priority,
    pub(crate) source: String,
    pub(crate) tags: Vec<String>,
    pub(crate) enabled: bool,
    /// Whether its author wants to hear that it is judged for every event.
    pub(crate) warn_types: bool,
    pub(crate) exceptions: Vec<Exception>,
}

/// Items by name, in the order they were first written.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) items: Vec<T>,
    places: HashMap<String, usize>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { items: vec![], places: HashMap::new() }
    }
}

impl<T> Named<T> {
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.places.get(name).map(|place| &mut self.items[*place])
    }

    fn push(&mut self, name: &str, item: T) {
        self.places.insert(name.to_owned(), self.items.len());
        self.items.push(item);
    }
}

/// Everything the sources say.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) lists: Named<List>,
    pub(crate) macros: Named<Macro>,
    pub(crate) rules: Named<RuleText>,
    /// Rules of sources without their own, in the order of all items read.
    clock: usize,
}

/// Reads all sources in order. Whatever is wrong is found; whatever is right is in the catalogue.
pub(crate) fn load(sources: &[Source], findings: &mut Findings) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (index, source) in sources.iter().enumerate() {
        let (documents, fault) = yaml::documents(index, &source.text);
        for document in &documents {
            match &document.kind {
                Kind::List(items) => items.iter().for_each(|item| catalogue.take(item, findings)),
                Kind::Text(text) if text.is_null() => {}
                _ => findings.fault(
                    document.spot,
                    format!(
                        "a file of rules is a list of items (`- rule:`, `- macro:`, `- list:`), not {}",
                        document.what()
                    ),
                ),
            }
        }
        if let Some((spot, text)) = fault {
            findings.fault(spot, format!("{text}; what follows was not read"));
        }
    }
    catalogue
}
