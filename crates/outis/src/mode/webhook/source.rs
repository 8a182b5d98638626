//! Where policies come from: a folder that is looked at, or the cluster that is watched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use outis_api::AdmissionPolicy;
use outis_cluster::{Watched, watch};
use serde_json::Value;

use crate::policies::{self, Written};

/// How often a folder is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A source of policies, and of the namespaces they may ask about.
#[derive(Clone)]
pub(super) enum Source {
    /// Manifests in a folder; namespaces are not known.
    Folder(PathBuf),
    /// The cluster's objects.
    Cluster {
        /// Policies.
        policies: Watched<AdmissionPolicy>,
        /// Namespaces.
        namespaces: Watched<Namespace>,
    },
}

impl Source {
    /// Watches a cluster; the work goes on as long as the runtime does.
    pub(super) fn cluster(client: &kube::Client) -> Self {
        let (policies, work) = watch(Api::all(client.clone()));
        tokio::spawn(work);
        let (namespaces, work) = watch(Api::all(client.clone()));
        tokio::spawn(work);
        Self::Cluster { policies, namespaces }
    }

    /// The policies as they are now. Not to have seen them all yet is an error, never an empty list.
    pub(super) async fn written(&self) -> Result<Vec<Written>> {
        match self {
            Self::Folder(dir) => {
                let paths = vec![dir.clone()];
                tokio::task::spawn_blocking(move || policies::written(&paths)).await?
            }
            Self::Cluster { policies, namespaces } => {
                for state in [policies.state(), namespaces.state()] {
                    if !state.synced {
                        let why = state.stale.unwrap_or_else(|| "the first list is under way".into());
                        return Err(anyhow!("policies and namespaces are not known yet: {why}"));
                    }
                }
                policies
                    .list()
                    .into_iter()
                    .map(|policy| policies::as_written(policy.as_ref().clone()))
                    .collect()
            }
        }
    }

    /// Why what we know may be behind the cluster, if it may.
    pub(super) fn stale(&self) -> Option<String> {
        match self {
            Self::Folder(_) => None,
            Self::Cluster { policies, namespaces } => policies.state().stale.or(namespaces.state().stale),
        }
    }

    /// Waits until there may be something new.
    pub(super) async fn changed(&self) {
        match self {
            Self::Folder(_) => tokio::time::sleep(LOOK).await,
            Self::Cluster { policies, .. } => {
                let mut changes = policies.changes();
                changes.mark_unchanged();
                // Certificates lie in a folder in any case.
                let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            }
        }
    }

    /// A Namespace object; `Null` when it is not known, which whoever needs it treats as unknown.
    pub(super) fn namespace(&self, name: &str) -> Arc<Value> {
        let found = match self {
            Self::Cluster { namespaces, .. } => namespaces.get(name),
            Self::Folder(_) => None,
        };
        let value = found.and_then(|namespace| serde_json::to_value(namespace.as_ref()).ok());
        Arc::new(value.unwrap_or_default())
    }
}
