//! What this machine lets the sensor do, each fact with a sentence and, where something can be done
//! about it, what. Reads files below a root, so that a recorded machine can be asked, too; only on the
//! real root does it ask the kernel to accept a program.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::object::object;

mod kernel;
mod mounts;
mod rights;

/// How a fact bears on the sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should be.
    Fine,
    /// It works, with a limit the sentence names.
    Limited,
    /// The sensor cannot start.
    Missing,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about; stable, for scripts.
    pub name: &'static str,
    /// How it bears on the sensor.
    pub standing: Standing,
    /// What was found, in short.
    pub value: String,
    /// What that means.
    pub sentence: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// In the order a reader wants them.
    pub facts: Vec<Fact>,
}

impl Facts {
    /// The worst standing of all.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.facts.iter().map(|fact| fact.standing).max().unwrap_or(Standing::Fine)
    }

    /// A fact by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.name == name)
    }
}

/// Looks at the machine whose file system begins at `root`; `/` for this one.
#[must_use]
pub fn facts(root: &Path) -> Facts {
    let mounts = mounts::read(root);
    let rights = rights::read(root);
    let facts = vec![
        kernel::release(root),
        kernel::architecture(std::env::consts::ARCH, object().is_some()),
        kernel::types(root),
        rights.programs(root),
        mounts::cgroups(&mounts),
        mounts::tracefs(&mounts, rights.mounting()),
        mounts::bpffs(&mounts),
        kernel::pid_namespace(root),
        kernel::lsm(root),
        kernel::memlock(root),
        kernel::io_uring(root),
        kernel::ia32(root),
    ];
    Facts { facts }
}

impl Fact {
    fn fine(name: &'static str, value: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { name, standing: Standing::Fine, value: value.into(), sentence: sentence.into(), fix: None }
    }

    fn limited(name: &'static str, value: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { standing: Standing::Limited, ..Self::fine(name, value, sentence) }
    }

    fn missing(name: &'static str, value: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { standing: Standing::Missing, ..Self::fine(name, value, sentence) }
    }

    fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// A file's text without its last newline; nothing when it cannot be read.
fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests;
