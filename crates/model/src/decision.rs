//! What was decided, and why.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An outcome together with the sentences that justify it.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision<T> {
    /// What was decided; the same in observe and enforce mode.
    pub outcome: T,
    /// Why, most important first. Never empty for anything but a plain `Allow`.
    pub because: Vec<Reason>,
}

impl<T> Decision<T> {
    /// A decision for one reason.
    pub fn because(outcome: T, reason: Reason) -> Self {
        Self { outcome, because: vec![reason] }
    }

    /// The same reasons for a derived outcome.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Decision<U> {
        Decision { outcome: f(self.outcome), because: self.because }
    }
}

/// One sentence of justification, as a person should read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// CamelCase code, stable across versions: `PodSecurity`, `PolicyViolation`, `EvaluationFailed`.
    pub code: String,
    /// The policy, rule or check that speaks, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where in the subject, as a field path: `spec.containers[0].securityContext.privileged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is the case, as a sentence without a full stop.
    pub text: String,
    /// What to change, when we know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Reason {
    /// A reason with a code and a sentence.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), source: None, place: None, text: text.into(), fix: None }
    }

    /// Names the policy, rule or check that speaks.
    #[must_use]
    pub fn by(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says where in the subject.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says what to change.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Reason {
    /// `[source] place: text; to fix: ...`, leaving out what is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "[{source}] ")?;
        }
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)?;
        self.fix.iter().try_for_each(|fix| write!(f, "; to fix: {fix}"))
    }
}

/// What a policy says about a request or a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing speaks against it.
    Allow,
    /// Nobody could tell; the reasons say what was missing. Never to be read as `Allow`.
    Unknown,
    /// A policy speaks against it.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Unknown => "unknown",
            Self::Deny => "deny",
        })
    }
}

/// What is done with a verdict. The verdict itself does not know the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Record it; change nothing.
    #[default]
    Observe,
    /// Record it and tell the user.
    Warn,
    /// Record it and act on it.
    Enforce,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        })
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "observe" => Ok(Self::Observe),
            "warn" => Ok(Self::Warn),
            "enforce" => Ok(Self::Enforce),
            other => Err(format!("mode {other:?} is none of observe, warn, enforce")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_one_sentence() {
        let reason = Reason::new("PodSecurity", "the container may gain privileges")
            .by("restricted/allowPrivilegeEscalation")
            .at("spec.containers[0].securityContext.allowPrivilegeEscalation")
            .fix("set it to false");
        assert_eq!(
            reason.to_string(),
            "[restricted/allowPrivilegeEscalation] spec.containers[0].securityContext.allowPrivilegeEscalation: \
             the container may gain privileges; to fix: set it to false"
        );
    }

    #[test]
    fn verdicts_are_ordered_by_weight() {
        assert!(Verdict::Deny > Verdict::Unknown && Verdict::Unknown > Verdict::Allow);
    }
}
