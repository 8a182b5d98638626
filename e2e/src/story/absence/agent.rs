//! A node without its agent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::story::rotation::sales;
use crate::story::{GOOD, identity, installation, refusal};
use crate::world::{World, eventually, ready};

/// Lets agents run on nodes with this label only; on all again.
async fn confine(world: &World, selector: Value) -> Result<()> {
    let agents: Api<DaemonSet> = Api::namespaced(world.client.clone(), "outis-system");
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": selector}}}});
    agents.patch("outis-agent", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

/// Its pods go on and sell, pods without our volume start, pods with it wait; it is told at once in the status, and
/// after half a minute in the log. With the agent back those that waited start.
pub(in crate::story) async fn agent(world: &World) -> Result<String> {
    let begun = jiff::Timestamp::now().to_string();
    let before = sales(world).await?.bought;
    confine(world, json!({"outis.dev/nowhere": "here"})).await?;
    let checked = alone(world, &begun).await;
    confine(world, json!({"outis.dev/nowhere": null})).await?;
    checked?;
    let starts = async || world.get_pod("notary").await.is_ok_and(|pod| ready(&pod));
    eventually(Duration::from_secs(90), "the pod that waited for its volume starts", starts).await?;
    world.delete(&world.good(&identity::mounting())).await?;
    installation::in_force(world, Duration::from_secs(40)).await?;
    let sold = sales(world).await?.bought.saturating_sub(before);
    ensure!(sold > 0, "nothing was sold while the agent was away");
    Ok(format!("told after 30 s; {sold} sold meanwhile; a pod that waited for its identity runs"))
}

async fn alone(world: &World, begun: &str) -> Result<()> {
    let told = async || {
        world.asked(&["status"], 1).await.is_ok_and(|said| said.contains("is not covered: no agent"))
    };
    eventually(Duration::from_secs(30), "status says that the node is not covered", told).await?;
    let before = sales(world).await?.bought;
    world.create(&world.good(&identity::mounting())).await?;
    world.delete(&world.good(GOOD)).await?;
    refusal::admitted(world).await.context("a pod without our volume must start")?;
    let recorded = async || {
        let said = world.asked(&["events", "--kind", "component", "--since", begun], 0).await;
        said.is_ok_and(|said| said.contains("no agent has been linked for 30 s"))
    };
    eventually(Duration::from_secs(45), "the log says that the node is not covered", recorded).await?;
    let waits = world.get_pod("notary").await?;
    ensure!(!ready(&waits), "a pod with our volume started without its identity");
    ensure!(sales(world).await?.bought > before, "the shop stopped selling");
    Ok(())
}
