//! What of a ruling is told and kept, whoever judged.

use outis_model::review::{Review, Ruling};
use outis_model::{Decision, Reason, redact};

/// A policy's message may quote the object: what that keeps to itself, and what looks like a credential, is hidden
/// from whoever reads the answer or the record.
pub(crate) fn discreet(review: &Review, mut decision: Decision<Ruling>) -> Decision<Ruling> {
    if decision.because.is_empty() && decision.outcome.findings.is_empty() {
        return decision;
    }
    // A message may quote as much of an object as it likes; what is kept and looked through is bounded.
    let texts = decision.outcome.findings.iter_mut().map(|finding| &mut finding.reason);
    for reason in decision.because.iter_mut().chain(texts) {
        shorten(&mut reason.text);
    }
    let mut kept = redact::kept(&review.object);
    kept.extend(redact::kept(&review.old_object));
    let hidden = |reason: &mut Reason| reason.text = redact::quoting(&reason.text, &kept);
    decision.because.iter_mut().for_each(hidden);
    decision.outcome.findings.iter_mut().map(|finding| &mut finding.reason).for_each(hidden);
    decision
}

/// Bytes of one reason that are told and kept.
const REASON: usize = 2048;

fn shorten(text: &mut String) {
    if text.len() > REASON {
        let end = (0..=REASON).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
}

/// The policies that speak against it, each once, in order.
pub(crate) fn policies(ruling: &Ruling) -> Vec<&str> {
    let mut names: Vec<&str> = ruling.findings.iter().map(|finding| finding.policy.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
