//! One policy, ready to judge.

use outis_api::AdmissionPolicySpec;
use outis_api::admission_policy::FailurePolicy;
use outis_model::{Mode, PolicyName};

use crate::cel;
use crate::fault::Refusal;
use crate::matching::Matcher;
use crate::pod_security::Standard;
use crate::rego;

/// One policy, ready to judge.
#[derive(Debug)]
pub struct Policy {
    pub(crate) name: PolicyName,
    pub(crate) generation: i64,
    pub(crate) spec: AdmissionPolicySpec,
    pub(crate) matcher: Matcher,
    pub(crate) engine: Engine,
}

#[derive(Debug)]
pub(crate) enum Engine {
    PodSecurity(Standard),
    Rego(rego::Compiled),
    Cel(cel::Compiled),
}

impl Policy {
    pub(crate) fn compile(
        name: PolicyName,
        generation: i64,
        spec: AdmissionPolicySpec,
    ) -> Result<Self, Refusal> {
        let matcher = Matcher::new(&spec.matching)?;
        let engine = match (&spec.pod_security, &spec.rego, &spec.cel) {
            (Some(wanted), None, None) => Engine::PodSecurity(
                Standard::new(wanted)
                    .map_err(|error| Refusal::new("podSecurity.version", error.to_string()))?,
            ),
            (None, Some(wanted), None) => Engine::Rego(rego::Compiled::new(wanted)?),
            (None, None, Some(wanted)) => Engine::Cel(cel::Compiled::new(wanted)?),
            _ => return Err(Refusal::new("spec", "exactly one of podSecurity, rego and cel must be given")),
        };
        Ok(Self { name, generation, spec, matcher, engine })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Which version of it judges.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// What is done with its verdict.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.spec.mode.into()
    }

    /// What the API server does while no webhook answers.
    #[must_use]
    pub fn failure_policy(&self) -> FailurePolicy {
        self.spec.failure_policy
    }

    /// The name of its engine, as in its specification.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::PodSecurity(_) => "podSecurity",
            Engine::Rego(_) => "rego",
            Engine::Cel(_) => "cel",
        }
    }
}
