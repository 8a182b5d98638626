//! A webhook under test: the product's own process, reached by the cluster's API server.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::world::{World, eventually};

/// The process and where it is.
pub(crate) struct Webhook {
    child: Child,
    pub(crate) address: String,
    health: String,
    pub(crate) certificate: String,
    pub(crate) folder: tempfile::TempDir,
    _serving: tempfile::TempDir,
}

impl Webhook {
    /// Starts it on the cluster's policies; waits until it says that it is ready.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        let own = own_address(world)?;
        let (port, health) = (free_port(own)?, free_port(own)?);
        let (serving, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let certificate = certificate(own, serving.path())?;
        let address = socket(own, port);
        let child = Command::new(&world.with.outis)
            .args(["webhook", "--controller", "none"])
            .args(["--address", &address, "--health-address", &socket(own, health)])
            .args(["--canary-open-address", &socket(own, 0), "--canary-denied-address", &socket(own, 0)])
            .arg("--serving-dir")
            .arg(serving.path())
            .arg("--kubeconfig")
            .arg(&world.with.kubeconfig)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log"))?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the webhook")?;
        let webhook =
            Self { child, address, health: socket(own, health), certificate, folder, _serving: serving };
        let ready = async || webhook.readiness().await.is_ok_and(|said| said.starts_with("ok"));
        eventually(Duration::from_secs(20), "the webhook is ready", ready).await?;
        Ok(webhook)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What `/readyz` says.
    pub(crate) async fn readiness(&self) -> Result<String> {
        crate::load::get(&self.health, "/readyz").await
    }

    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> Result<f64> {
        let pid = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The registration for namespace `shop`; the API server calls us where we listen.
    pub(crate) fn registration(&self, failure_policy: &str) -> Value {
        use base64::Engine;
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "outis-e2e"},
            "webhooks": [{
                "name": "admission.outis.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "timeoutSeconds": 3, "failurePolicy": failure_policy,
                "clientConfig": {"url": format!("https://{}/v1/admit", self.address), "caBundle": bundle},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                    "operations": ["CREATE", "UPDATE"]}]}]
        })
    }
}

/// Our address as the cluster sees it: that of the interface that leads to its API server.
fn own_address(world: &World) -> Result<IpAddr> {
    let host = world.server.host().context("the kubeconfig names no server")?;
    let port = world.server.port_u16().unwrap_or(443);
    let bind = if host.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(bind)?;
    socket.connect((host.trim_matches(['[', ']']), port)).context("no route to the API server")?;
    Ok(socket.local_addr()?.ip())
}

fn free_port(own: IpAddr) -> Result<u16> {
    Ok(std::net::TcpListener::bind((own, 0))?.local_addr()?.port())
}

fn socket(own: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(own, port).to_string()
}

/// A certificate for our address, written as the mounted Secret would be; gives its PEM.
fn certificate(own: IpAddr, dir: &Path) -> Result<String> {
    let made = rcgen::generate_simple_self_signed(vec![own.to_string()])?;
    std::fs::write(dir.join("tls.crt"), made.cert.pem())?;
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem())?;
    Ok(made.cert.pem())
}
