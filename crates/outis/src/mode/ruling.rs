//! What of a ruling is told and kept, whoever judged.

use outis_model::review::{Review, Ruling};
use outis_model::{Decision, Reason, redact};

/// A policy's message may quote the object: what that keeps to itself, and what looks like a credential, is hidden
/// from whoever reads the answer or the record.
pub(crate) fn discreet(review: &Review, mut decision: Decision<Ruling>) -> Decision<Ruling> {
    if decision.because.is_empty() && decision.outcome.findings.is_empty() {
        return decision;
    }
    let mut kept = redact::kept(&review.object);
    kept.extend(redact::kept(&review.old_object));
    let hidden = |reason: &mut Reason| reason.text = redact::quoting(&reason.text, &kept);
    decision.because.iter_mut().for_each(hidden);
    decision.outcome.findings.iter_mut().map(|finding| &mut finding.reason).for_each(hidden);
    decision
}

/// The policies that speak against it, each once, in order.
pub(crate) fn policies(ruling: &Ruling) -> Vec<&str> {
    let mut names: Vec<&str> = ruling.findings.iter().map(|finding| finding.policy.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
