//! How Outis gets into a cluster, and out.

use std::path::PathBuf;
use std::str::FromStr;

use outis_model::{Namespace, TrustDomain};
use serde_json::{Value, json};

use super::Output;

/// What to install, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// The image.
    #[arg(long, default_value = concat!("localhost/outis/outis:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// Where to; as --system-namespace, which every other command takes as well.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Load the image into the nodes first: `kind:NAME`, `k3s` (on the node itself) or `containerd:SOCKET`; may be given
    /// for each node.
    #[arg(long, value_name = "WHERE")]
    pub(crate) load: Vec<Load>,
    /// The archive to load; default `outis.tar` beside this binary.
    #[arg(long, value_name = "FILE", requires = "load")]
    pub(crate) archive: Option<PathBuf>,
    /// Trust domain of the identities; cannot be changed later.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) trust_domain: TrustDomain,
    /// StorageClass of the store's volume; default the cluster's default.
    #[arg(long, value_name = "NAME", conflicts_with = "volume")]
    pub(crate) storage_class: Option<String>,
    /// PersistentVolume of the store.
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: Option<String>,
    /// Kubelet's directory on the nodes; default what the distribution uses.
    #[arg(long, value_name = "DIR")]
    pub(crate) kubelet_dir: Option<String>,
    /// Where controller and webhook may run: KEY=VALUE.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) node_selector: Vec<(String, String)>,
    /// Taints controller and webhook tolerate, as `KEY=VALUE:EFFECT`, value and effect optional. The agent tolerates all.
    #[arg(long, value_name = "TAINT", value_parser = toleration)]
    pub(crate) toleration: Vec<Value>,
    /// Priority class of all parts.
    #[arg(long, value_name = "NAME", default_value = "system-node-critical")]
    pub(crate) priority_class: String,
    /// Groups whose members may use `outis events` and `outis why`, for what they may read anyway.
    #[arg(long, value_name = "GROUP")]
    pub(crate) users: Vec<String>,
    /// Go over another installed version.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print what would be applied, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to print a dry run: yaml or json.
    #[arg(short, long, value_enum, default_value = "yaml", requires = "dry_run")]
    pub(crate) output: Output,
    /// How long to wait until every part is ready, in seconds; 0 to not wait.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout: u64,
}

/// How Outis leaves.
#[derive(Debug, clap::Args)]
pub(crate) struct Uninstall {
    /// Where it is; as --system-namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Also what users wrote, the store, the namespace and our files on the nodes.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Go on although pods mount our volume: they cannot end until Outis is back.
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Where an image is loaded into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Load {
    /// The nodes of a kind cluster.
    Kind(String),
    /// This k3s node.
    K3s,
    /// A containerd by its socket.
    Containerd(PathBuf),
}

impl FromStr for Load {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("kind", name)) if !name.is_empty() => Ok(Self::Kind(name.into())),
            Some(("containerd", socket)) if !socket.is_empty() => Ok(Self::Containerd(socket.into())),
            None if text == "k3s" => Ok(Self::K3s),
            None if text == "kind" => Ok(Self::Kind("kind".into())),
            _ => Err("give kind:NAME, k3s or containerd:SOCKET".into()),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE")?;
    Ok((key.into(), value.into()))
}

fn toleration(text: &str) -> Result<Value, String> {
    let (taint, effect) = match text.split_once(':') {
        Some((taint, effect @ ("NoSchedule" | "PreferNoSchedule" | "NoExecute"))) => (taint, Some(effect)),
        Some(_) => return Err("the effect is one of NoSchedule, PreferNoSchedule, NoExecute".into()),
        None => (text, None),
    };
    let mut toleration = match taint.split_once('=') {
        Some((key, value)) => json!({"key": key, "operator": "Equal", "value": value}),
        None if taint.is_empty() => return Err("give KEY[=VALUE][:EFFECT]".into()),
        None => json!({"key": taint, "operator": "Exists"}),
    };
    if let Some(effect) = effect {
        toleration["effect"] = json!(effect);
    }
    Ok(toleration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_load_into_are_read() {
        assert_eq!("kind:dev".parse(), Ok(Load::Kind("dev".into())));
        assert_eq!("k3s".parse(), Ok(Load::K3s));
        assert_eq!("containerd:/run/c.sock".parse(), Ok(Load::Containerd("/run/c.sock".into())));
        for wrong in ["", "docker", "kind:", "containerd:"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        assert_eq!(
            toleration("a=b:NoSchedule"),
            Ok(json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}))
        );
        assert_eq!(toleration("a"), Ok(json!({"key": "a", "operator": "Exists"})));
        assert!(toleration("a:Never").is_err() && toleration("").is_err());
    }
}
