//! Identities, seen from inside a pod.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

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
