//! Match first, then evaluate: the ruling of all policies on one request.

use std::sync::Arc;

use outis_model::review::{Finding, Operation, Review, Ruling};
use outis_model::{Decision, Reason, Verdict};

use crate::matching::Matched;
use crate::pod_security::{Standard, pods};
use crate::policy::{Engine, Policy};
use crate::question::Question;
use crate::rego;
use crate::set::PolicySet;

/// How much one policy may cost per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of the Rego machine. The default suffices for pods of 10,000 containers.
    pub rego_instructions: usize,
    /// Steps of CEL expressions: elements iterated over and bytes put together.
    pub cel_steps: u64,
    /// Findings kept; how many more there were is said in the last one.
    pub findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rego_instructions: 20_000_000, cel_steps: 10_000_000, findings: 64 }
    }
}

/// A worker's own copy of the policies: programs are not shared between threads, because reference
/// counts on their constants would make two threads slower than one.
#[derive(Debug)]
pub struct Judge {
    set: Arc<PolicySet>,
    machines: Vec<Option<Result<rego::Machine, String>>>,
}

/// What one policy says: nothing, or verdicts with their reasons.
pub(crate) type Speech = Vec<(Verdict, Reason)>;

/// Nobody could tell, for `text`.
pub(crate) fn unknown(text: impl Into<String>) -> (Verdict, Reason) {
    (Verdict::Unknown, Reason::new("EvaluationFailed", text))
}

impl Judge {
    /// Makes the set's programs this worker's own.
    #[must_use]
    pub fn new(set: &Arc<PolicySet>) -> Self {
        let machine = |policy: &Policy| match &policy.engine {
            Engine::Rego(compiled) => Some(rego::Machine::new(compiled).map_err(|refusal| refusal.sentence)),
            Engine::PodSecurity(_) | Engine::Cel(_) => None,
        };
        Self { set: Arc::clone(set), machines: set.iter().map(machine).collect() }
    }

    /// The set it judges by.
    #[must_use]
    pub fn set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// What all matching policies say about a request. The mode of a policy changes nothing but the
    /// mode noted in its findings.
    pub fn review(&mut self, review: &Review, limits: Limits) -> Decision<Ruling> {
        let set = Arc::clone(&self.set);
        let question = Question::new(review);
        let mut ruling = Ruling::default();
        for position in set.candidates(review) {
            let policy = set.at(position);
            let speech = match policy.matcher.matches(review) {
                Matched::No => continue,
                Matched::Unknown(why) => vec![unknown(why)],
                Matched::Yes => self.ask(position, policy, &question, limits),
            };
            ruling.evaluated += 1;
            ruling.findings.extend(findings(policy, speech, limits.findings));
        }
        let mut because: Vec<_> = ruling.findings.iter().collect();
        because.sort_by_key(|finding| std::cmp::Reverse((finding.mode, finding.verdict)));
        let because = because.into_iter().map(|finding| finding.reason.clone()).collect();
        Decision { outcome: ruling, because }
    }

    fn ask(&mut self, position: usize, policy: &Policy, question: &Question<'_>, limits: Limits) -> Speech {
        match &policy.engine {
            Engine::PodSecurity(standard) => judge_pods(standard, question),
            Engine::Cel(compiled) => compiled.judge(question.cel(), limits.cel_steps),
            Engine::Rego(_) => match self.machines.get_mut(position) {
                Some(Some(Ok(machine))) => machine.judge(question.rego(), limits.rego_instructions),
                Some(Some(Err(why))) => vec![unknown(why.clone())],
                _ => vec![unknown("the policy has no program in this worker")],
            },
        }
    }
}

/// A request that leaves the pod as it was has nothing in it to judge; what is already there is the
/// business of the audit.
fn judge_pods(standard: &Standard, question: &Question<'_>) -> Speech {
    let review = question.review;
    if matches!(review.operation, Operation::Delete | Operation::Connect) {
        return Vec::new();
    }
    if review.object.is_null() {
        return vec![unknown("the request holds no object")];
    }
    let pod = match pods(&review.kind, &review.object) {
        Ok(Some(pod)) => pod,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![unknown(error.to_string())],
    };
    if review.operation == Operation::Update {
        let former = pods(&review.kind, &review.old_object);
        if former.is_ok_and(|former| former.is_some_and(|former| former.same(&pod))) {
            return Vec::new();
        }
    }
    let reason = |(check, failure): (&crate::pod_security::Check, crate::pod_security::Failure)| {
        let reason = Reason::new("PodSecurity", failure.text).by(check.id).at(failure.place).fix(failure.fix);
        (Verdict::Deny, reason)
    };
    standard.judge(&pod).into_iter().map(reason).collect()
}

/// Names the policy in each reason and bounds their number.
fn findings(policy: &Policy, mut speech: Speech, most: usize) -> Vec<Finding> {
    let most = most.max(1);
    let more = speech.len().saturating_sub(most);
    let worst = speech.iter().map(|(verdict, _)| *verdict).max();
    speech.truncate(most);
    if let (Some((verdict, last)), true) = (speech.last_mut(), more > 0) {
        last.text = format!("{} (and {more} more findings of this policy)", last.text);
        *verdict = worst.unwrap_or(*verdict);
    }
    let named = |(verdict, mut reason): (Verdict, Reason)| {
        reason.source = Some(match reason.source {
            Some(check) => format!("{}/{check}", policy.name),
            None => policy.name.to_string(),
        });
        Finding { policy: policy.name.clone(), mode: policy.mode(), verdict, reason }
    };
    speech.into_iter().map(named).collect()
}
