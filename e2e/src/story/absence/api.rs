//! A cluster whose API server is away: nodes go on by what they last saw.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use tokio::process::Command;

use super::decisions;
use crate::story::{detection, installation};
use crate::world::{World, eventually};

/// While the API server is away a pod's identity is served and a shell is told on the node; the controller knows that
/// what it sees is old. Afterwards the alert is in the log.
pub(in crate::story) async fn api(world: &World, in_node: &Path) -> Result<String> {
    let place = Place::find(world).await?;
    let begun = jiff::Timestamp::now().to_string();
    let stop = r#"read -r pid started <"$OUTIS_CLUSTER_STATE/run/kube-apiserver.pid" && kill -KILL "$pid""#;
    world.on_nodes(stop).await?;
    let checked = alone(world, &place).await;
    let up = in_node.with_file_name("up.sh");
    let back =
        Command::new("bash").arg(up).env("OUTIS_SKIP_BUILD", "1").stdin(Stdio::null()).output().await?;
    ensure!(
        back.status.success(),
        "the API server does not come back: {}",
        String::from_utf8_lossy(&back.stderr)
    );
    checked?;
    installation::in_force(world, Duration::from_secs(90)).await?;
    let told = async || detection::alerts_since(world, &begun).await.is_ok_and(|alerts| !alerts.is_empty());
    eventually(Duration::from_secs(30), "the alert is in the log", told).await?;
    ensure!(world.try_create(super::BAD).await.is_err(), "the bad pod is admitted afterwards");
    let judged = async || decisions(world, &begun).await.is_ok_and(|found| !found.is_empty());
    eventually(Duration::from_secs(20), "decisions are recorded again", judged).await?;
    Ok("identity served, shell told on the node, the controller knows that its view is old".into())
}

/// What can be asked for only while the API server is there.
struct Place {
    frontend: String,
    backend: String,
    controller: String,
}

impl Place {
    async fn find(world: &World) -> Result<Self> {
        let container = |pod: &Pod| {
            let status = pod.status.clone()?;
            let id = status.container_statuses?.first()?.container_id.clone()?;
            id.split("://").nth(1).map(str::to_owned)
        };
        let of = async |app: &str| container(&world.pod_of(app).await?).context("no container");
        let pods: Api<Pod> = Api::namespaced(world.client.clone(), "outis-system");
        let one = ListParams::default().labels("app.kubernetes.io/component=controller");
        let found = pods.list(&one).await?.items.into_iter().find_map(|pod| pod.status?.pod_ip);
        Ok(Self {
            frontend: of("frontend").await?,
            backend: of("backend").await?,
            controller: found.context("the controller has no address")?,
        })
    }
}

async fn alone(world: &World, place: &Place) -> Result<()> {
    let ctr = "ctr --address /run/containerd/containerd.sock --namespace k8s.io tasks exec --exec-id";
    let asked = format!("{ctr} e2e-identity {} /usr/bin/outis-shop identity", place.backend);
    let said = world.on_nodes(&asked).await.context("the backend's identity is not served")?.join("");
    ensure!(said.contains("spiffe://cluster.local/ns/shop/sa/backend"), "the backend's identity: {said}");
    // Every alert is a line of the agent's output, which the node keeps.
    let written = r#"cat /var/log/pods/outis-system_outis-agent-*/agent/*.log | grep -c 'Terminal shell in container' || true"#;
    let count = async || -> Result<u64> {
        world.on_nodes(written).await?.join("").trim().parse().context("no count of alerts")
    };
    let before = count().await?;
    let shell =
        format!("script -qec '{ctr} e2e-shell -t {} /bin/sh -c true' /dev/null </dev/null", place.frontend);
    world.on_nodes(&shell).await.context("no shell in the frontend")?;
    let told = async || count().await.is_ok_and(|now| now > before);
    eventually(Duration::from_secs(20), "the shell is told on the node", told).await?;
    let metrics = format!("busybox wget -qO- http://{}:8081/metrics", place.controller);
    let stale = async || {
        let said = world.on_nodes(&metrics).await.unwrap_or_default().join("");
        said.lines().any(|line| line.strip_prefix("outis_faults ").is_some_and(|count| count != "0"))
    };
    eventually(Duration::from_secs(60), "the controller says that its view is old", stale).await
}
