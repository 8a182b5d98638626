//! What a check is.

use outis_api::admission_policy::PodSecurityLevel;

use super::pod::Pod;
use super::version::Minor;

/// One control of the standard.
#[derive(Debug)]
pub struct Check {
    /// Its upstream identifier.
    pub id: &'static str,
    /// From which level on it holds.
    pub level: PodSecurityLevel,
    /// The baseline check it takes the place of.
    pub replaces: Option<&'static str>,
    /// Its variants, oldest first.
    pub variants: &'static [Variant],
}

/// A check as it holds from one version on.
#[derive(Debug)]
pub struct Variant {
    /// The first version.
    pub since: Minor,
    /// All that fails in a pod.
    pub judge: fn(&Pod<'_>) -> Vec<Failure>,
}

impl Check {
    /// The variant that holds at `minor`, if any does yet.
    #[must_use]
    pub fn at(&self, minor: Minor) -> Option<&'static Variant> {
        self.variants.iter().rev().find(|variant| variant.since <= minor)
    }
}

/// One field that fails a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its path in the object that was written.
    pub place: String,
    /// What is the case and why that matters.
    pub text: String,
    /// What to change.
    pub fix: String,
}

impl Failure {
    /// A failing field.
    pub fn new(place: String, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, text: text.into(), fix: fix.into() }
    }
}
