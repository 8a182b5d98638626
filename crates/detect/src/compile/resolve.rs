//! Lists and macros by name. Lists hold names of lists written before them; a macro sees macros
//! written before it; rules see everything.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::cond::Cond;
use super::lower::{self, Scope};
use crate::fault::{Findings, Source, Spot};
use crate::language::{self, Expr, Word};
use crate::load::{Catalogue, Exception, Pieces};

/// Items of all lists, lists in them written out.
const MAX_ITEMS: usize = 100_000;
/// Checks and values of all macros and rules, lists and macros in them written out. The upstream
/// stable file has about 1,100.
const MAX_PARTS: usize = 200_000;
/// Levels of one condition, macros written out.
const MAX_DEPTH: usize = 400;

/// Turns texts of conditions into conditions.
pub(crate) struct Resolver<'a> {
    sources: &'a [Source],
    catalogue: &'a Catalogue,
    hosts: bool,
    lists: Vec<Arc<[String]>>,
    /// `None` for one that could not be compiled; its fault is told once.
    macros: Vec<Option<Cond>>,
    used_lists: RefCell<BTreeSet<usize>>,
    used_macros: BTreeSet<usize>,
    /// Parts still allowed.
    left: std::cell::Cell<usize>,
    /// It was told that there are too many.
    too_many: bool,
}

impl Scope for Resolver<'_> {
    fn words(&self, word: &Word) -> Vec<String> {
        match self.catalogue.lists.place(&word.text).filter(|_| !word.quoted) {
            Some(place) => {
                self.used_lists.borrow_mut().insert(place);
                let all = &self.lists[place];
                if self.spend(all.len()) { all.to_vec() } else { vec![] }
            }
            None => vec![word.text.clone()],
        }
    }

    fn knows_hosts(&self) -> bool {
        self.hosts
    }
}

impl<'a> Resolver<'a> {
    /// Compiles all lists and macros.
    pub(crate) fn new(
        sources: &'a [Source],
        catalogue: &'a Catalogue,
        hosts: bool,
        findings: &mut Findings,
    ) -> Self {
        let mut resolver = Self {
            sources,
            catalogue,
            hosts,
            lists: vec![],
            macros: vec![None; catalogue.macros.items.len()],
            used_lists: RefCell::default(),
            used_macros: BTreeSet::new(),
            left: MAX_PARTS.into(),
            too_many: false,
        };
        resolver.lists = resolver.all_lists(findings);
        let mut state = vec![Progress::Untouched; catalogue.macros.items.len()];
        for place in 0..state.len() {
            resolver.compile_macro(place, 0, &mut state, findings);
        }
        resolver
    }

    /// Whether that many more parts are allowed.
    fn spend(&self, parts: usize) -> bool {
        self.left.set(self.left.get().saturating_sub(parts));
        self.left.get() > 0
    }

    fn all_lists(&self, findings: &mut Findings) -> Vec<Arc<[String]>> {
        let all = &self.catalogue.lists.items;
        let mut steps = 0;
        (0..all.len())
            .map(|place| {
                let (mut items, mut path) = (vec![], vec![]);
                if let Err(text) = self.items(place, &mut path, &mut steps, &mut items) {
                    findings.fault(all[place].spot, text);
                }
                items.into()
            })
            .collect()
    }

    fn items(
        &self,
        place: usize,
        path: &mut Vec<usize>,
        steps: &mut usize,
        into: &mut Vec<String>,
    ) -> Result<(), String> {
        let list = &self.catalogue.lists.items[place];
        if path.contains(&place) || path.len() > 64 {
            return Err(format!("list `{}` holds itself, or lists in lists deeper than 64", list.name));
        }
        path.push(place);
        for item in &list.items {
            *steps += 1;
            let inner = self.catalogue.lists.place(item);
            match inner.filter(|inner| self.catalogue.lists.items[*inner].first < list.last) {
                Some(inner) => {
                    self.used_lists.borrow_mut().insert(inner);
                    self.items(inner, path, steps, into)?;
                }
                None => into.push(language::unquote(item)),
            }
            if *steps > MAX_ITEMS {
                let upto = format!("up to list `{}`", list.name);
                return Err(format!(
                    "{upto} there are more than {MAX_ITEMS} items, lists in lists written out"
                ));
            }
        }
        path.pop();
        Ok(())
    }

    fn compile_macro(&mut self, place: usize, depth: usize, state: &mut [Progress], findings: &mut Findings) {
        let item = &self.catalogue.macros.items[place];
        match state[place] {
            Progress::Done => return,
            Progress::Running => {
                findings.fault(item.spot, format!("macro `{}` uses itself", item.name));
                return;
            }
            Progress::Untouched if depth > 100 => {
                findings.fault(item.spot, format!("macro `{}` is used by macros deeper than 100", item.name));
                return;
            }
            Progress::Untouched => state[place] = Progress::Running,
        }
        if let Some(expr) = self.parse(&item.condition, findings) {
            let mut names = vec![];
            macro_names(&expr, &mut names);
            for name in names {
                let seen = self.catalogue.macros.place(&name);
                if let Some(seen) = seen.filter(|seen| self.catalogue.macros.items[*seen].first < item.last) {
                    self.compile_macro(seen, depth + 1, state, findings);
                }
            }
            self.macros[place] = self.lower(&expr, &item.condition, Some(item.last), findings);
        }
        state[place] = Progress::Done;
    }

    fn parse(&self, condition: &Pieces, findings: &mut Findings) -> Option<Expr> {
        let parsed = language::parse(&condition.joined());
        let fault = |error: &language::ParseError| {
            findings.fault(condition.locate(self.sources, error.at), error.text.clone());
        };
        parsed.inspect_err(fault).ok()
    }

    /// A whole rule's condition with its exceptions.
    pub(crate) fn rule(
        &mut self,
        condition: &Pieces,
        exceptions: &[Exception],
        findings: &mut Findings,
    ) -> Option<Cond> {
        let expr = self.parse(condition, findings)?;
        let cond = self.lower(&expr, condition, None, findings);
        let mut except = Vec::new();
        let mut whole = true;
        for exception in exceptions {
            match self.exception(exception) {
                Ok(rows) => except.extend(rows),
                Err(text) => {
                    findings.fault(exception.spot, format!("exception `{}`: {text}", exception.name));
                    whole = false;
                }
            }
        }
        let cond = cond.filter(|_| whole)?;
        Some(match except.is_empty() {
            true => cond,
            false => Cond::And(vec![cond, Cond::Not(Box::new(Cond::Or(except)))]),
        })
    }

    fn lower(
        &mut self,
        expr: &Expr,
        condition: &Pieces,
        before: Option<usize>,
        findings: &mut Findings,
    ) -> Option<Cond> {
        let mut wrong = Vec::new();
        let cond = self.walk(expr, before, &mut wrong);
        for (at, text) in wrong {
            findings.fault(condition.locate(self.sources, at), text);
        }
        let mut fault = |text: String| findings.fault(condition.locate(self.sources, 0), text);
        if self.left.get() == 0 && !std::mem::replace(&mut self.too_many, true) {
            fault(format!(
                "up to here the rules have more than {MAX_PARTS} parts, lists and macros written out"
            ));
        }
        let deep = cond.as_ref().is_some_and(|cond| cond.depth() > MAX_DEPTH);
        if deep {
            fault(format!("with its macros written out the condition has more than {MAX_DEPTH} levels"));
        }
        cond.filter(|_| !deep && self.left.get() > 0)
    }

    fn walk(&mut self, expr: &Expr, before: Option<usize>, wrong: &mut Vec<lower::Wrong>) -> Option<Cond> {
        let mut all = |all: &[Expr], wrong: &mut Vec<lower::Wrong>| {
            let found: Vec<_> = all.iter().map(|one| self.walk(one, before, wrong)).collect();
            found.into_iter().collect::<Option<Vec<_>>>()
        };
        match expr {
            Expr::And(inner) => all(inner, wrong).map(Cond::And),
            Expr::Or(inner) => all(inner, wrong).map(Cond::Or),
            Expr::Not(inner) => self.walk(inner, before, wrong).map(|inner| Cond::Not(Box::new(inner))),
            Expr::Check(check) if self.spend(1) => {
                lower::check(check, self).map_err(|why| wrong.push(why)).ok()
            }
            Expr::Check(_) => None,
            Expr::Macro(name, at) => {
                let found = self.macro_of(name, before).map_err(|text| wrong.push((at.0, text))).ok()?;
                let size = self.macros[found].as_ref()?.size();
                if self.spend(size) { self.macros[found].clone() } else { None }
            }
        }
    }

    /// The macro of a name, as far as it may be seen.
    fn macro_of(&mut self, name: &str, before: Option<usize>) -> Result<usize, String> {
        let Some(place) = self.catalogue.macros.place(name) else {
            return Err(format!("there is no macro `{name}`"));
        };
        if before.is_some_and(|before| self.catalogue.macros.items[place].first >= before) {
            return Err(format!("macro `{name}` is written later; a macro sees only earlier ones"));
        }
        self.used_macros.insert(place);
        Ok(place)
    }

    /// Lists and macros that nothing uses are noted: something else was meant, or they can go.
    pub(crate) fn note_unused(&self, findings: &mut Findings) {
        let mut note = |what: &str, name: &str, spot: Spot| {
            findings.note(spot, format!("{what} `{name}` is used by nothing"));
        };
        for (place, list) in self.catalogue.lists.items.iter().enumerate() {
            if !self.used_lists.borrow().contains(&place) {
                note("list", &list.name, list.spot);
            }
        }
        for (place, item) in self.catalogue.macros.items.iter().enumerate() {
            if !self.used_macros.contains(&place) {
                note("macro", &item.name, item.spot);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    Running,
    Done,
}

fn macro_names(expr: &Expr, into: &mut Vec<String>) {
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().for_each(|one| macro_names(one, into)),
        Expr::Not(inner) => macro_names(inner, into),
        Expr::Macro(name, _) => into.push(name.clone()),
        Expr::Check(_) => {}
    }
}
