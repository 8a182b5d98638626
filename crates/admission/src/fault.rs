//! Why a policy could not be loaded.

use std::fmt;

use outis_model::PolicyName;

/// A policy that was refused at load, with the place in its text when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which policy.
    pub policy: PolicyName,
    /// Which version of it.
    pub generation: i64,
    /// What is wrong and what to do, as a sentence without a full stop.
    pub sentence: String,
    /// Which text of the policy: `rego.source`, `rego.libs[1]`, `cel.validations[0].expression`.
    pub part: String,
    /// Line in that text, from 1.
    pub line: Option<u32>,
    /// Column in that line, from 1.
    pub column: Option<u32>,
    /// Whether an older version of the policy goes on judging in its place.
    pub older_kept: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {:?}: {}", self.policy.as_str(), self.part)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.sentence)
    }
}

/// A refusal by one of the engines, before it is known whose policy it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) part: String,
    pub(crate) sentence: String,
    pub(crate) at: Option<(u32, u32)>,
}

impl Refusal {
    pub(crate) fn new(part: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { part: part.into(), sentence: sentence.into(), at: None }
    }

    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        self.at = Some((line, column));
        self
    }

    pub(crate) fn of(self, policy: PolicyName, generation: i64, older_kept: bool) -> Fault {
        let (line, column) = self.at.unzip();
        Fault { policy, generation, sentence: self.sentence, part: self.part, line, column, older_kept }
    }
}
