//! Identities, seen from inside a pod.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::Value;

use super::GOOD;
use crate::world::{World, eventually, ready};

const BACKEND: &str = "spiffe://cluster.local/ns/shop/sa/backend";

/// What the backend's pod gets from its socket, verified against the cluster's roots by the command line.
pub(super) async fn backend(world: &World) -> Result<String> {
    let file = shown(world).await?;
    let verified = world.asked(&["identity", "verify", &file.path().display().to_string()], 0).await?;
    ensure!(verified.starts_with(BACKEND), "{verified}");
    let listed = world.asked(&["identity", "list", "-n", "shop", "-o", "json"], 0).await?;
    ensure!(listed.contains(BACKEND), "`outis identity list` does not know it: {listed}");
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    let until = listed.iter().find(|row| row["spiffeId"] == BACKEND).map(|row| row["notAfter"].clone());
    Ok(format!("{BACKEND} until {}", until.unwrap_or_default()))
}

/// The chain the backend's pod gets from its socket, in a file.
pub(super) async fn shown(world: &World) -> Result<tempfile::NamedTempFile> {
    let pod = world.pod_of("backend").await?;
    let name = pod.metadata.name.context("a pod without a name")?;
    let (said, well) = world.exec(&name, &["/usr/bin/outis-shop", "identity"], false).await?;
    ensure!(well, "the pod got no identity: {said}");
    let said: Value = serde_json::from_str(said.trim()).context("the pod printed no JSON")?;
    ensure!(said["id"] == BACKEND, "the pod is {}", said["id"]);
    let chain: Vec<Vec<u8>> =
        serde_json::from_value(said["chain"].clone()).context("the pod printed no chain")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), chain.iter().map(|der| pem(der)).collect::<String>())?;
    Ok(file)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Somebody with a certificate of another authority knocks at the backend.
pub(super) async fn foreign(world: &World) -> Result<String> {
    let pod = world.pod_of("gateway").await?;
    let name = pod.metadata.name.context("a pod without a name")?;
    let knock = ["/usr/bin/outis-shop", "foreign", "--upstream", "backend:8443"];
    let (said, well) = world.exec(&name, &knock, false).await?;
    ensure!(well, "it was let in: {said}");
    Ok(said.trim().to_owned())
}

/// A pod as the good one, that mounts our volume as well.
pub(super) fn mounting() -> String {
    let volume = "\n      volumeMounts: [{name: spiffe, mountPath: /spiffe, readOnly: true}]\n      env: [{name: \
                  SPIFFE_ENDPOINT_SOCKET, value: 'unix:///spiffe/workload.sock'}]\n  volumes: [{name: spiffe, csi: \
                  {driver: csi.outis.dev, readOnly: true}}]\n";
    GOOD.trim_end().replace("ledger", "notary") + volume
}

/// The identity a pod gets that was not there before; none when it gets none in time.
pub(super) async fn of_a_new_pod(world: &World) -> Result<Option<String>> {
    if world.get_pod("notary").await.is_err() {
        world.create(&world.good(&mounting())).await?;
    }
    let up = async || world.get_pod("notary").await.is_ok_and(|pod| ready(&pod));
    eventually(Duration::from_secs(60), "the new pod is ready", up).await?;
    let asking = world.exec("notary", &["/usr/bin/outis-shop", "identity"], false);
    let Ok(asked) = tokio::time::timeout(Duration::from_secs(10), asking).await else { return Ok(None) };
    let (said, well) = asked?;
    Ok(well.then_some(said))
}

/// With a lifetime of a minute, a streaming client sees three rotations and shakes hands all the while.
pub(super) async fn rotations(world: &World) -> Result<String> {
    lifetime(world, 60).await?;
    // What was issued before lives for hours: a fresh pod asks anew.
    replace(world, "shop", "app=gateway").await?;
    let (said, well) = shaking(world, 3).await?;
    let back = lifetime(world, 14_400).await;
    ensure!(whole(&said, well), "not three rotations, or a handshake failed: {said}");
    back?;
    Ok(said.trim().to_owned())
}

/// Shakes hands with the backend from the gateway's pod until its identity has rotated so often.
pub(super) async fn shaking(world: &World, rotations: u32) -> Result<(String, bool)> {
    let pod = world.pod_of("gateway").await?.metadata.name.context("a pod without a name")?;
    let count = rotations.to_string();
    let watch =
        ["/usr/bin/outis-shop", "rotations", "--upstream", "backend:8443", "--peer", BACKEND, "--count"];
    let watch: Vec<&str> = watch.into_iter().chain([count.as_str()]).collect();
    let patience = Duration::from_secs(120 + 60 * u64::from(rotations));
    let shaken = tokio::time::timeout(patience, world.exec(&pod, &watch, false)).await;
    shaken.with_context(|| format!("not {rotations} rotations within {} s", patience.as_secs()))?
}

/// Whether it came to its end and no handshake failed.
pub(super) fn whole(said: &str, well: bool) -> bool {
    well && said.contains("\"failures\":[]")
}

/// Deletes pods, and waits until as many others are ready in their place.
pub(super) async fn replace(world: &World, namespace: &str, labels: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
    let of = ListParams::default().labels(labels);
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
    let old: Vec<String> = pods.list(&of).await?.items.iter().map(name).collect();
    for pod in &old {
        pods.delete(pod, &DeleteParams::default().grace_period(1)).await?;
    }
    let others = async || {
        let found = pods.list(&of).await.map(|list| list.items).unwrap_or_default();
        found.len() == old.len() && found.iter().all(|pod| ready(pod) && !old.contains(&name(pod)))
    };
    eventually(Duration::from_secs(90), &format!("others than the pods {labels} are ready"), others).await
}

pub(super) async fn lifetime(world: &World, seconds: i64) -> Result<()> {
    let settings = format!(
        "apiVersion: outis.dev/v1alpha1\nkind: Outis\nmetadata: {{name: cluster}}\nspec: {{trustDomain: cluster.local, identity: {{svidSeconds: {seconds}}}}}\n"
    );
    world.apply(&settings).await
}
