//! The Pod Security Standards, natively, for every version from v1.0 on.
//!
//! Nineteen checks, one file each below `checks/`. A check knows from which minor version on which of
//! its variants holds; a restricted check may take the place of the baseline check it sharpens. The
//! behaviour is that of the upstream admission plugin, version by version; the words are ours.
//!
//! What is absent: the namespace labels and the exemptions of the plugin. Match rules say which pods a
//! policy judges.

mod check;
mod checks;
mod pod;
mod version;

use outis_api::admission_policy::{PodSecurity, PodSecurityLevel};

pub use check::{Check, Failure, Variant};
pub use pod::{Container, Pod, PodError, pods};
pub use version::{Minor, NEWEST, VersionError};

/// A level at a version, with the checks that make it up.
#[derive(Debug, Clone)]
pub struct Standard {
    /// The level.
    pub level: PodSecurityLevel,
    checks: Vec<(&'static Check, &'static Variant)>,
}

impl Standard {
    /// Reads what a policy asks for.
    ///
    /// # Errors
    /// When the version is neither `latest` nor `v1.<minor>`.
    pub fn new(wanted: &PodSecurity) -> Result<Self, VersionError> {
        Ok(Self::at(wanted.level, wanted.version.parse()?))
    }

    /// The checks of `level` at `minor`. A version newer than any we know is judged as the newest.
    #[must_use]
    pub fn at(level: PodSecurityLevel, minor: Minor) -> Self {
        let holding: Vec<_> = checks::ALL
            .iter()
            .filter(|check| check.level <= level)
            .filter_map(|check| check.at(minor).map(|variant| (*check, variant)))
            .collect();
        let replaced = |id: &str| holding.iter().any(|(check, _)| check.replaces == Some(id));
        let checks = holding.iter().copied().filter(|(check, _)| !replaced(check.id)).collect();
        Self { level, checks }
    }

    /// Everything in `pod` that the standard does not allow, check by check.
    #[must_use]
    pub fn judge(&self, pod: &Pod<'_>) -> Vec<(&'static Check, Failure)> {
        let failures = |(check, variant): &(&'static Check, &'static Variant)| {
            let check = *check;
            (variant.judge)(pod).into_iter().map(move |failure| (check, failure))
        };
        self.checks.iter().flat_map(failures).collect()
    }
}
