//! Admission policies from files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outis_admission::PolicySet;
use outis_admission::scan::{Place, documents};
use outis_api::{AdmissionPolicy, AdmissionPolicySpec};
use outis_model::PolicyName;
use serde_json::Value;

use crate::exit::Usage;
use crate::manifests;

/// A policy as it was written.
pub(crate) type Written = (PolicyName, i64, AdmissionPolicySpec);

/// The objects of one manifest.
pub(crate) fn load(path: &Path) -> Result<Vec<(Place, Value)>> {
    let bytes = manifests::read(path)?;
    Ok(documents(&bytes, &path.display().to_string())?)
}

/// Every policy among these files and folders.
pub(crate) fn written(paths: &[PathBuf]) -> Result<Vec<Written>> {
    let mut found = Vec::new();
    for path in manifests::collect(paths)? {
        for (place, object) in load(&path)? {
            if object["kind"] != "AdmissionPolicy" {
                continue;
            }
            let policy: AdmissionPolicy = serde_json::from_value(object)
                .map_err(|error| Usage(format!("{place}: not an AdmissionPolicy: {error}")))?;
            let name = policy.metadata.name.unwrap_or_default();
            let name: PolicyName = name.parse().with_context(|| format!("{place}: metadata.name"))?;
            found.push((name, policy.metadata.generation.unwrap_or(1), policy.spec));
        }
    }
    if found.is_empty() {
        bail!(Usage("no AdmissionPolicy among the files given".into()));
    }
    Ok(found)
}

/// The policies compiled, all of them sound or none used: judging with a policy left out would pass what the
/// cluster refuses.
pub(crate) fn sound(paths: &[PathBuf]) -> Result<PolicySet> {
    let (set, faults) = PolicySet::compile(written(paths)?);
    if faults.is_empty() {
        return Ok(set);
    }
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    bail!(Usage(format!("policies that cannot be used:\n  {}", told.join("\n  "))))
}
