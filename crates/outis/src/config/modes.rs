//! What each mode can be told, and what it makes of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use outis_model::{Namespace, NodeName};

use super::{Reader, Setting, Settings};
use crate::exit::Usage;

const HEALTH: Setting =
    Setting::new("health-address", "[::]:8081", "where health and metrics are served, plain");
const CANARY_OPEN: Setting = Setting::new(
    "canary-open-address",
    "[::]:9451",
    "where the canary answers that our NetworkPolicy lets everybody reach, plain",
);
const CANARY_DENIED: Setting = Setting::new(
    "canary-denied-address",
    "[::]:9452",
    "where the canary answers that our NetworkPolicy lets nobody reach, plain",
);
const NAMESPACE: Setting = Setting::new("namespace", "outis-system", "our namespace");
const POD: Setting = Setting::new("pod", "", "the pod we run in");
const NODE: Setting = Setting::new("node", "", "the node we run on");
const CONTROLLER: Setting = Setting::new(
    "controller",
    "",
    "the controller's link as host:port; empty for the Service in our namespace, `none` for no controller",
);
const TOKEN: Setting =
    Setting::new("token-file", "/var/run/secrets/outis/token", "projected token with audience `outis`");
const OWN: Setting = Setting::new(
    "own-dir",
    "/run/outis-own",
    "directory in memory for our own certificate, so that a restart needs no new token",
);

/// How a component reaches the controller.
#[derive(Debug, Clone)]
pub(crate) struct LinkConfig {
    /// `None`: there is no controller.
    pub(crate) controller: Option<String>,
    pub(crate) namespace: Namespace,
    pub(crate) token: PathBuf,
    pub(crate) own: PathBuf,
    pub(crate) pod: String,
}

impl LinkConfig {
    fn read(reader: &mut Reader) -> Option<Self> {
        let namespace: Option<Namespace> = reader.read("namespace");
        let (token, own) = (reader.path("token-file"), reader.path("own-dir"));
        let (controller, pod) = (reader.read::<String>("controller"), reader.read::<String>("pod"));
        let namespace = namespace?;
        let controller = match controller?.as_str() {
            "none" => None,
            "" => Some(format!("outis-controller.{namespace}.svc:8443")),
            given => Some(given.to_owned()),
        };
        Some(Self { controller, namespace, token: token?, own: own?, pod: pod? })
    }
}

/// Settings of the webhook.
#[derive(Debug, Clone)]
pub(crate) struct WebhookSettings;

impl Settings for WebhookSettings {
    const TABLE: &'static [Setting] = &[
        Setting::new("address", "[::]:9443", "where the API server calls, over TLS"),
        HEALTH,
        CANARY_OPEN,
        CANARY_DENIED,
        Setting::new("serving-dir", "/var/run/secrets/outis-serving", "directory with tls.crt and tls.key"),
        Setting::new(
            "policy-dir",
            "",
            "directory of AdmissionPolicy manifests, read again when it changes; empty for the cluster's",
        ),
        Setting::new("workers", "0", "threads that judge; 0 for one per core"),
        NAMESPACE,
        POD,
        NODE,
        CONTROLLER,
        TOKEN,
        OWN,
    ];
}

/// What a webhook needs to know.
#[derive(Debug, Clone)]
pub(crate) struct WebhookConfig {
    pub(crate) address: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) canary_open: SocketAddr,
    pub(crate) canary_denied: SocketAddr,
    pub(crate) serving: PathBuf,
    /// `None`: the cluster's.
    pub(crate) policies: Option<PathBuf>,
    pub(crate) workers: usize,
    pub(crate) link: LinkConfig,
}

impl WebhookConfig {
    /// Reads every setting; all faults are told together.
    pub(crate) fn read(mut reader: Reader) -> Result<Self, Usage> {
        let (address, health) = (reader.read("address"), reader.read("health-address"));
        let (canary_open, canary_denied) =
            (reader.read("canary-open-address"), reader.read("canary-denied-address"));
        let (serving, policies) = (reader.path("serving-dir"), reader.path("policy-dir"));
        let workers = reader.read::<usize>("workers").map(|count| match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count.min(64),
        });
        let link = LinkConfig::read(&mut reader);
        reader.finish(|| {
            Some(Self {
                address: address?,
                health: health?,
                canary_open: canary_open?,
                canary_denied: canary_denied?,
                serving: serving?,
                policies: Some(policies?).filter(|dir| !dir.as_os_str().is_empty()),
                workers: workers?,
                link: link?,
            })
        })
    }
}

/// Settings of the controller.
#[derive(Debug, Clone)]
pub(crate) struct ControllerSettings;

impl Settings for ControllerSettings {
    const TABLE: &'static [Setting] = &[
        Setting::new("link-address", "[::]:8443", "where agents and webhooks call, gRPC over mutual TLS"),
        Setting::new("api-address", "[::]:8444", "where the command line asks, over TLS"),
        HEALTH,
        Setting::new("store-dir", "/var/lib/outis", "directory of the store"),
        NAMESPACE,
        POD,
        NODE,
    ];
}

/// What a controller needs to know.
#[derive(Debug, Clone)]
pub(crate) struct ControllerConfig {
    pub(crate) link: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) store: PathBuf,
    pub(crate) namespace: Namespace,
    pub(crate) pod: String,
}

impl ControllerConfig {
    /// Reads every setting; all faults are told together.
    pub(crate) fn read(mut reader: Reader) -> Result<Self, Usage> {
        let (link, api) = (reader.read("link-address"), reader.read("api-address"));
        let (health, store) = (reader.read("health-address"), reader.path("store-dir"));
        let (namespace, pod) = (reader.read("namespace"), reader.read::<String>("pod"));
        reader.finish(|| {
            Some(Self {
                link: link?,
                api: api?,
                health: health?,
                store: store?,
                namespace: namespace?,
                pod: Some(pod?).filter(|pod| !pod.is_empty()).unwrap_or_else(|| "outis-controller".into()),
            })
        })
    }
}

/// Settings of the agent.
#[derive(Debug, Clone)]
pub(crate) struct AgentSettings;

impl Settings for AgentSettings {
    const TABLE: &'static [Setting] = &[
        HEALTH,
        Setting::new("socket-dir", "/run/outis", "directory of the Workload API's socket"),
        Setting::new("state-dir", "/var/lib/outis-agent", "directory of the spool"),
        Setting::new("rings", "0", "ring buffers, each with a worker; 0 for one per core"),
        Setting::new("ring-bytes", "4194304", "bytes of each ring buffer, a power of two"),
        Setting::new("alerts-file", "-", "where alerts are written as JSON lines; `-` for standard output"),
        NAMESPACE,
        POD,
        NODE,
        CONTROLLER,
        TOKEN,
        OWN,
    ];
}

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub(crate) struct AgentConfig {
    pub(crate) health: SocketAddr,
    pub(crate) sockets: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) rings: usize,
    pub(crate) ring_bytes: u32,
    pub(crate) alerts: PathBuf,
    pub(crate) node: NodeName,
    pub(crate) link: LinkConfig,
}

impl AgentConfig {
    /// Reads every setting; all faults are told together.
    pub(crate) fn read(mut reader: Reader) -> Result<Self, Usage> {
        let (health, node) = (reader.read("health-address"), reader.read("node"));
        let (sockets, state) = (reader.path("socket-dir"), reader.path("state-dir"));
        let rings = reader.read::<usize>("rings").map(|count| match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(16),
            count => count.min(64),
        });
        let (ring_bytes, alerts) = (reader.read("ring-bytes"), reader.path("alerts-file"));
        let link = LinkConfig::read(&mut reader);
        reader.finish(|| {
            Some(Self {
                health: health?,
                sockets: sockets?,
                state: state?,
                rings: rings?,
                ring_bytes: ring_bytes?,
                alerts: alerts?,
                node: node?,
                link: link?,
            })
        })
    }
}

/// Settings of the volume driver.
#[derive(Debug, Clone)]
pub(crate) struct CsiSettings;

impl Settings for CsiSettings {
    const TABLE: &'static [Setting] = &[
        Setting::new("health-address", "[::]:8082", "where health and metrics are served, plain"),
        Setting::new(
            "kubelet-dir",
            "/var/lib/kubelet",
            "kubelet's directory, under the same path as on the node",
        ),
        Setting::new("socket-dir", "/run/outis", "directory of the Workload API's socket"),
        NODE,
        NAMESPACE,
        POD,
    ];
}

/// What the volume driver needs to know.
#[derive(Debug, Clone)]
pub(crate) struct CsiConfig {
    pub(crate) health: SocketAddr,
    pub(crate) kubelet: PathBuf,
    pub(crate) sockets: PathBuf,
    pub(crate) node: NodeName,
}

impl CsiConfig {
    /// Reads every setting; all faults are told together.
    pub(crate) fn read(mut reader: Reader) -> Result<Self, Usage> {
        let (health, node) = (reader.read("health-address"), reader.read("node"));
        let (kubelet, sockets) = (reader.path("kubelet-dir"), reader.path("socket-dir"));
        reader.finish(|| Some(Self { health: health?, kubelet: kubelet?, sockets: sockets?, node: node? }))
    }
}
