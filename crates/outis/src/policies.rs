//! Admission policies from files and from the cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::api::{Api, ListParams};
use outis_admission::PolicySet;
use outis_admission::scan::{Place, documents};
use outis_api::{AdmissionPolicy, AdmissionPolicySpec};
use outis_model::PolicyName;
use serde_json::Value;

use crate::arguments::Cluster;
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
        let bytes = manifests::read(&path)?;
        // Policies are what we are told to judge by: one that cannot be read is a fault of that, with its place.
        let read =
            documents(&bytes, &path.display().to_string()).map_err(|error| Usage(error.to_string()))?;
        for (place, object) in read {
            if object["kind"] != "AdmissionPolicy" {
                continue;
            }
            let policy = serde_json::from_value(object)
                .map_err(|error| Usage(format!("{place}: not an AdmissionPolicy: {error}")))?;
            found.push(as_written(policy).with_context(|| place.to_string())?);
        }
    }
    if found.is_empty() {
        bail!(Usage("no AdmissionPolicy among the files given".into()));
    }
    Ok(found)
}

/// Every policy of the cluster.
pub(crate) async fn of_cluster(cluster: &Cluster) -> Result<Vec<Written>> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let list = Api::<AdmissionPolicy>::all(client).list(&ListParams::default()).await;
    let list = list.context("cannot list the cluster's policies; name files with --policies")?;
    list.items.into_iter().map(as_written).collect()
}

/// A policy object as name, generation and specification.
pub(crate) fn as_written(policy: AdmissionPolicy) -> Result<Written> {
    let name: PolicyName = policy.metadata.name.unwrap_or_default().parse().context("metadata.name")?;
    Ok((name, policy.metadata.generation.unwrap_or(1), policy.spec))
}

/// The policies compiled, all of them sound or none used: judging with a policy left out would pass what the
/// cluster refuses.
pub(crate) fn sound(written: Vec<Written>) -> Result<PolicySet> {
    let (set, faults) = PolicySet::compile(written);
    if faults.is_empty() {
        return Ok(set);
    }
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    bail!(Usage(format!("policies that cannot be used:\n  {}", told.join("\n  "))))
}
