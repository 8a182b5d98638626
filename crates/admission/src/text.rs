//! The words people read: refusals and warnings.

use outis_model::review::{Finding, Ruling};
use outis_model::{Mode, RecordId, Verdict};

/// The API server cuts longer warnings.
pub const WARNING_CHARS: usize = 256;
/// The API server drops warnings altogether when they are longer together; refusals keep to it too.
pub const FALLBACK_BYTES: usize = 4096;

/// Why a request is refused: what, where, why and how to fix it, one line per finding of an enforcing
/// policy, and how to ask for more.
#[must_use]
pub fn refusal_text(ruling: &Ruling, id: &RecordId) -> String {
    let lines: Vec<_> = ruling.findings.iter().filter(|f| f.mode == Mode::Enforce).map(line).collect();
    let ending = ending(id);
    fitted(&lines, FALLBACK_BYTES - ending.len() - 1, usize::MAX)
        .into_iter()
        .chain([ending])
        .collect::<Vec<_>>()
        .join("\n")
}

/// What to tell about a request that is admitted: a line per finding of a warning policy, and how to
/// ask for more. Empty when there is nothing to say.
#[must_use]
pub fn warnings(ruling: &Ruling, id: &RecordId) -> Vec<String> {
    let lines: Vec<_> = ruling.findings.iter().filter(|f| f.mode == Mode::Warn).map(line).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let ending = ending(id);
    let mut texts = fitted(&lines, FALLBACK_BYTES - ending.len(), WARNING_CHARS);
    texts.push(ending);
    texts
}

fn ending(id: &RecordId) -> String {
    format!("decision {id}; for the reasons in full: outis why {id}")
}

fn line(finding: &Finding) -> String {
    let text = finding.reason.to_string().replace(['\n', '\r'], " ");
    match finding.verdict {
        Verdict::Unknown => format!("could not judge: {text}"),
        Verdict::Allow | Verdict::Deny => text,
    }
}

/// As many lines as fit in `bytes`, each cut to `chars`, and how many did not.
fn fitted(lines: &[String], bytes: usize, chars: usize) -> Vec<String> {
    // "and 4294967295 more findings", with its newline.
    const REST: usize = 29;
    let mut texts = Vec::new();
    let mut left = bytes;
    for (index, line) in lines.iter().enumerate() {
        let last = index + 1 == lines.len();
        let room = if last { left } else { left.saturating_sub(REST) };
        let text = cut(line, chars.min(if texts.is_empty() { room } else { usize::MAX }));
        if text.len() + 1 > room && !texts.is_empty() {
            texts.push(format!("and {} more findings", lines.len() - index));
            break;
        }
        left = left.saturating_sub(text.len() + 1);
        texts.push(text);
    }
    texts
}

/// Cuts to at most `most` bytes at a character's border, and shows it.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = most.saturating_sub(3);
    let end = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests;
