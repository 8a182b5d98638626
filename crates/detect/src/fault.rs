//! Where and why a text of rules cannot be used. Every fault of every file is reported together.

use std::fmt;

/// A text of rules with the name people know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A file name, or the object and field the text stands in.
    pub name: String,
    /// YAML.
    pub text: String,
}

impl Source {
    /// A named text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// A file's bytes as a text.
    ///
    /// # Errors
    /// They are no text; the place of the first that is none.
    pub fn read(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Fault> {
        let name = name.into();
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Ok(Self { name, text }),
            Err(error) => error,
        };
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let sound = String::from_utf8_lossy(sound);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Err(Fault {
            file: name,
            line: number(sound.matches('\n').count() + 1),
            column: number(sound.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1),
            text: "this is no UTF-8; save the file as UTF-8 text".into(),
        })
    }
}

/// One thing that is wrong, at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, serde::Serialize)]
#[error("{file}:{line}:{column}: {text}")]
pub struct Fault {
    /// Name of the source.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// One sentence: what was read, what is wrong with it, what would be right.
    pub text: String,
}

/// Everything that is wrong with a set of sources, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFaults(pub Vec<Fault>);

impl std::error::Error for RuleFaults {}

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// A place in one of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Spot {
    pub(crate) source: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What loading finds, while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    names: Vec<String>,
    faults: Vec<(Spot, String)>,
    notes: Vec<(Spot, String)>,
}

impl Findings {
    pub(crate) fn new(sources: &[Source]) -> Self {
        Self { names: sources.iter().map(|source| source.name.clone()).collect(), ..Self::default() }
    }

    pub(crate) fn fault(&mut self, spot: Spot, text: impl Into<String>) {
        self.faults.push((spot, text.into()));
    }

    /// Something odd that does not keep the rules from being used.
    pub(crate) fn note(&mut self, spot: Spot, text: impl Into<String>) {
        self.notes.push((spot, text.into()));
    }

    /// The notes, or all faults.
    pub(crate) fn close(self) -> Result<Vec<Fault>, RuleFaults> {
        let named = |mut found: Vec<(Spot, String)>| {
            found.sort();
            found.dedup();
            let name = |source: usize| self.names.get(source).cloned().unwrap_or_default();
            let fault = |(spot, text): (Spot, String)| Fault {
                file: name(spot.source),
                line: spot.line,
                column: spot.column,
                text,
            };
            found.into_iter().map(fault).collect::<Vec<_>>()
        };
        match self.faults.is_empty() {
            true => Ok(named(self.notes)),
            false => Err(RuleFaults(named(self.faults))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        let told =
            Source::read("a.yaml", b"- rule: x\n  desc: \xc3\xbc \xff\n".to_vec()).expect_err("no text");
        assert_eq!(told.to_string(), "a.yaml:2:11: this is no UTF-8; save the file as UTF-8 text");
        assert_eq!(Source::read("a.yaml", b"ok".to_vec()).expect("text").text, "ok");
    }
}
