//! A set of rules ready for use, made once and shared by all workers.

mod select;

use std::collections::BTreeSet;
use std::fmt;

use outis_model::RuleName;
use outis_model::alert::Priority;
use serde::Serialize;

pub use select::{Selection, Target};

use crate::compile::{Cond, Resolver};
use crate::fault::{Fault, Findings, RuleFaults, Source};
use crate::load::{self, RuleText};
use crate::output::Template;
use crate::types::{TYPES, TypeMask};

/// Why a rule that names no event type is noted.
const EVERY_EVENT: &str = "is judged for events of every type, which costs; narrow it by \
                           `evt.type`, or say `warn_evttypes: false`";

/// Which of the rules that match an event speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matching {
    /// The first in the order of the files.
    #[default]
    First,
    /// All of them.
    All,
}

/// How a set of rules is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which matching rules speak.
    pub matching: Matching,
    /// Rules switched on and off, in this order, after what the files say.
    pub selection: Vec<Selection>,
    /// Rules below this priority are disabled; `Debug` keeps all.
    pub least: Option<Priority>,
    /// Whether [`crate::Knowledge::hosts`] is filled. Without it rules that compare addresses with
    /// host names are not active.
    pub hosts: bool,
}

/// Something a rule needs and nobody provides. In JSON `{"kind": "field", "name": "proc.env"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "lowercase")]
pub enum Missing {
    /// A field.
    Field(String),
    /// An event type.
    Event(String),
    /// A source of events other than system calls.
    Source(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "field {name}"),
            Self::Event(name) => write!(f, "event type {name}"),
            Self::Source(name) => write!(f, "event source {name}"),
        }
    }
}

/// Whether a rule works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum RuleState {
    /// It is judged for every event it concerns.
    Active,
    /// Somebody switched it off.
    Disabled,
    /// It cannot match, because these things are missing.
    NotActive {
        /// Ordered; never empty.
        missing: Vec<Missing>,
    },
}

impl fmt::Display for RuleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Disabled => f.write_str("disabled"),
            Self::NotActive { missing } => {
                let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
                write!(f, "not active: no {}", names.join(", no "))
            }
        }
    }
}

/// A rule as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleInfo {
    /// Title.
    pub name: RuleName,
    /// Priority.
    pub priority: Priority,
    /// Tags, ordered.
    pub tags: Vec<String>,
    /// Why there is such a rule, and what to do when it speaks.
    pub description: String,
    /// File it was written in.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Whether it works.
    #[serde(flatten)]
    pub state: RuleState,
    /// Event types it is judged for; empty when it is not active.
    pub events: Vec<String>,
    /// What an active rule would look at as well, if it were there: other event types, and fields of
    /// branches left out.
    pub partial: Vec<Missing>,
}

/// A rule in use.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: RuleName,
    pub(crate) priority: Priority,
    pub(crate) tags: Vec<String>,
    pub(crate) output: Template,
}

/// Rules ready for use.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) matching: Matching,
    pub(crate) rules: Vec<Rule>,
    /// Per event type: rules in order, each with its condition for that type.
    pub(crate) index: Vec<Vec<(usize, Cond)>>,
    infos: Vec<RuleInfo>,
    notes: Vec<Fault>,
}

impl RuleSet {
    /// Makes a set of the rules of all sources, in their order.
    ///
    /// # Errors
    /// Every fault of every source, with its place. Nothing is loaded in part.
    pub fn compile(sources: &[Source], options: &Options) -> Result<Self, RuleFaults> {
        let mut findings = Findings::new(sources);
        let catalogue = load::load(sources, &mut findings);
        let mut resolver = Resolver::new(sources, &catalogue, options.hosts, &mut findings);
        let mut set = Self {
            matching: options.matching,
            rules: vec![],
            index: vec![vec![]; TYPES.len()],
            infos: vec![],
            notes: vec![],
        };
        for text in &catalogue.rules.items {
            let cond = resolver.rule(&text.condition, &text.exceptions, &mut findings);
            let output = Template::read(text, sources, &mut findings);
            if let (Some(cond), Ok(name)) = (cond, text.name.parse()) {
                let file = sources.get(text.spot.source).map_or("", |source| &source.name);
                let types = set.add(text, name, file, &cond, output, options);
                if types == TYPES.len() && text.warn_types {
                    findings.note(text.spot, format!("rule `{}` {EVERY_EVENT}", text.name));
                }
            }
        }
        resolver.note_unused(&mut findings);
        set.notes = findings.close()?;
        Ok(set)
    }

    /// Every rule read, in order, with its state.
    #[must_use]
    pub fn infos(&self) -> &[RuleInfo] {
        &self.infos
    }

    /// What is odd about the sources and keeps nothing from working.
    #[must_use]
    pub fn notes(&self) -> &[Fault] {
        &self.notes
    }

    /// Returns how many event types the rule is judged for.
    fn add(
        &mut self,
        text: &RuleText,
        name: RuleName,
        file: &str,
        cond: &Cond,
        output: Template,
        options: &Options,
    ) -> usize {
        let mut tags = text.tags.clone();
        tags.sort();
        tags.dedup();
        let reach = Reach::of(text, cond);
        let enabled = select::enabled(text, &options.selection)
            && options.least.is_none_or(|least| text.priority >= least);
        let state = match (enabled, reach.types.is_empty()) {
            (false, _) => RuleState::Disabled,
            (true, true) => RuleState::NotActive { missing: reach.missing.iter().cloned().collect() },
            (true, false) => RuleState::Active,
        };
        let mut events = vec![];
        if state == RuleState::Active {
            for (number, cond) in reach.types {
                events.push(TYPES[number].to_owned());
                self.index[number].push((self.rules.len(), cond));
            }
            let rule = Rule { name: name.clone(), priority: text.priority, tags: tags.clone(), output };
            self.rules.push(rule);
        }
        let count = events.len();
        let partial = if count == 0 { vec![] } else { reach.missing.into_iter().collect() };
        self.infos.push(RuleInfo {
            name,
            priority: text.priority,
            tags,
            description: text.description.clone(),
            file: file.to_owned(),
            line: text.spot.line,
            state,
            events,
            partial,
        });
        count
    }

    /// The event types any active rule is judged for.
    pub(crate) fn types(&self) -> TypeMask {
        let used = self.index.iter().enumerate().filter(|(_, rules)| !rules.is_empty());
        used.fold(TypeMask::default(), |mask, (number, _)| mask.or(TypeMask(1 << number)))
    }
}

/// What a condition can be judged for, and what it lacks for the rest.
struct Reach {
    types: Vec<(usize, Cond)>,
    missing: BTreeSet<Missing>,
}

impl Reach {
    fn of(text: &RuleText, cond: &Cond) -> Self {
        use crate::compile::Type;
        let mut missing = BTreeSet::new();
        if text.source != "syscall" {
            missing.insert(Missing::Source(text.source.clone()));
            return Self { types: vec![], missing };
        }
        let mut types = Vec::new();
        for number in 0..TYPES.len() {
            let cond = cond.of_type(Type::Known(number));
            let mut lacking = BTreeSet::new();
            cond.lacking(&mut lacking);
            if matches!(cond, Cond::False) {
                continue;
            }
            match lacking.is_empty() {
                true => types.push((number, cond)),
                false => missing.extend(lacking),
            }
        }
        let mut foreign = BTreeSet::new();
        cond.foreign_types(&mut foreign);
        for name in foreign {
            let cond = cond.of_type(Type::Named(&name));
            if !matches!(cond, Cond::False) {
                cond.lacking(&mut missing);
                missing.insert(Missing::Event(name));
            }
        }
        if types.is_empty() && missing.is_empty() && !matches!(cond.of_type(Type::Other), Cond::False) {
            missing.insert(Missing::Event("any other than the sensor's".into()));
        }
        if types.is_empty() && missing.is_empty() {
            missing.insert(Missing::Event("that could satisfy its condition".into()));
        }
        Self { types, missing }
    }
}
