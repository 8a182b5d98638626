//! Settings of the modes: flags over environment over file, read once into domain types before any
//! port is bound. Unknown keys of the file are refused and all faults are told together.
//!
//! Unknown `OUTIS_*` variables are not: Kubernetes itself sets such for every Service in sight.

mod overrides;
mod reader;

pub(crate) use overrides::{Overrides, Setting, Settings};
pub(crate) use reader::Reader;

use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of the webhook.
#[derive(Debug, Clone)]
pub(crate) struct WebhookSettings;

impl Settings for WebhookSettings {
    const TABLE: &'static [Setting] = &[
        Setting::new("address", "[::]:9443", "where the API server calls, over TLS"),
        Setting::new("health-address", "[::]:8081", "where health and metrics are served, plain"),
        Setting::new("serving-dir", "/var/run/secrets/outis-serving", "directory with tls.crt and tls.key"),
        Setting::new(
            "policy-dir",
            "",
            "directory of AdmissionPolicy manifests, read again when it changes; empty for the cluster's",
        ),
        Setting::new("workers", "0", "threads that judge; 0 for one per core"),
    ];
}

/// What a webhook needs to know.
#[derive(Debug, Clone)]
pub(crate) struct WebhookConfig {
    pub(crate) address: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) serving: PathBuf,
    /// `None`: the cluster's.
    pub(crate) policies: Option<PathBuf>,
    pub(crate) workers: usize,
}

impl WebhookConfig {
    /// Reads every setting; all faults are told together.
    pub(crate) fn read(mut reader: Reader) -> Result<Self, crate::exit::Usage> {
        let (address, health) = (reader.read("address"), reader.read("health-address"));
        let (serving, policies) = (reader.path("serving-dir"), reader.path("policy-dir"));
        let workers = reader.read::<usize>("workers").map(|count| match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count.min(64),
        });
        reader.finish(|| {
            Some(Self {
                address: address?,
                health: health?,
                serving: serving?,
                policies: Some(policies?).filter(|dir| !dir.as_os_str().is_empty()),
                workers: workers?,
            })
        })
    }
}

#[cfg(test)]
mod tests;
