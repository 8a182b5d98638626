//! Identities, seen from inside a pod.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::GOOD;
use crate::world::World;

const BACKEND: &str = "spiffe://cluster.local/ns/shop/sa/backend";

/// What the backend's pod gets from its socket, verified against the cluster's roots by the command line.
pub(super) async fn backend(world: &World) -> Result<String> {
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
    let verified = world.asked(&["identity", "verify", &file.path().display().to_string()], 0).await?;
    ensure!(verified.starts_with(BACKEND), "{verified}");
    let listed = world.asked(&["identity", "list", "-n", "shop", "-o", "json"], 0).await?;
    ensure!(listed.contains(BACKEND), "`outis identity list` does not know it: {listed}");
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    let until = listed.iter().find(|row| row["spiffeId"] == BACKEND).map(|row| row["notAfter"].clone());
    Ok(format!("{BACKEND} until {}", until.unwrap_or_default()))
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
pub(crate) fn mounting() -> String {
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
    let up = async || world.get_pod("notary").await.is_ok_and(|pod| crate::world::ready(&pod));
    crate::world::eventually(std::time::Duration::from_secs(60), "the new pod is ready", up).await?;
    let asking = world.exec("notary", &["/usr/bin/outis-shop", "identity"], false);
    let Ok(asked) = tokio::time::timeout(std::time::Duration::from_secs(10), asking).await else {
        return Ok(None);
    };
    let (said, well) = asked?;
    Ok(well.then_some(said))
}

/// With a lifetime of a minute, a streaming client sees three rotations and shakes hands all the while.
pub(super) async fn rotations(world: &World) -> Result<String> {
    let pod = short_lived(world).await?;
    let rotated = rotated(world, &pod, 3).await;
    let back = lifetime(world, 14_400).await;
    let said = rotated?;
    back?;
    Ok(said.trim().to_owned())
}

/// Identities live for a minute from now on; gives a gateway that got one of those.
pub(super) async fn short_lived(world: &World) -> Result<String> {
    lifetime(world, 60).await?;
    let pod = world.pod_of("gateway").await?.metadata.name.context("a pod without a name")?;
    // What was issued before lives for hours: a fresh pod asks anew.
    let pods: kube::api::Api<k8s_openapi::api::core::v1::Pod> =
        kube::api::Api::namespaced(world.client.clone(), "shop");
    pods.delete(&pod, &kube::api::DeleteParams::default().grace_period(1)).await?;
    let other = async || {
        let found = world.pod_of("gateway").await.ok().and_then(|pod| pod.metadata.name);
        found.is_some_and(|name| name != pod)
    };
    crate::world::eventually(std::time::Duration::from_secs(60), "a new gateway is ready", other).await?;
    world.pod_of("gateway").await?.metadata.name.context("a pod without a name")
}

/// Waits in a pod for rotations, shaking hands four times a second; no handshake may fail.
pub(super) async fn rotated(world: &World, pod: &str, count: u32) -> Result<String> {
    let count = count.to_string();
    let watch = [
        "/usr/bin/outis-shop",
        "rotations",
        "--count",
        &count,
        "--upstream",
        "backend:8443",
        "--peer",
        BACKEND,
    ];
    let (said, well) = world.exec(pod, &watch, false).await?;
    ensure!(well && said.contains("\"failures\":[]"), "not {count} rotations, or a handshake failed: {said}");
    Ok(said)
}

async fn lifetime(world: &World, seconds: i64) -> Result<()> {
    let settings = format!(
        "apiVersion: outis.dev/v1alpha1\nkind: Outis\nmetadata: {{name: cluster}}\nspec: {{trustDomain: cluster.local, identity: {{svidSeconds: {seconds}}}}}\n"
    );
    world.apply(&settings).await
}
