//! A store whose disk is full: nothing is acknowledged that is not kept, everything says so, and all goes on when there
//! is room again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use kube::api::{Api, DeleteParams, ListParams};

use super::{BAD, Found, POLICIES, absence, identity, installation};
use crate::world::{World, eventually};

/// Requests refused while the disk is full.
const REFUSALS: usize = 50;

/// A shell script on the first node, where the store's small volume is; `$small` is its directory.
async fn there(world: &World, script: &str) -> Result<String> {
    let small = r#"small="$OUTIS_CLUSTER_STATE/node1/pv/small""#;
    Ok(world.on_nodes(&format!("{small}\n{script}")).await?.into_iter().next().unwrap_or_default())
}

/// Installs with a volume of 64 MiB, on a file system of its own.
pub(super) async fn install(world: &World) -> Result<String> {
    ensure!(world.with.in_node.is_some(), "this story makes a volume on the node and needs a way there");
    there(world, r#"mkdir -p "$small" && mount -t tmpfs -o size=64m,mode=0777 outis-small "$small""#).await?;
    let path = there(world, r#"printf %s "$small""#).await?;
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    let first = volumes.list(&ListParams::default()).await?.items.into_iter().next().context("no volume")?;
    let mut small = serde_json::to_value(&first)?;
    small["metadata"] = serde_json::json!({"name": "small"});
    small["spec"]["local"]["path"] = path.into();
    small["apiVersion"] = "v1".into();
    small["kind"] = "PersistentVolume".into();
    small["spec"].as_object_mut().context("a volume without a spec")?.remove("claimRef");
    small.as_object_mut().context("no object")?.remove("status");
    world.apply(&small.to_string()).await?;
    installation::install_with(world, &["--volume", "small"]).await
}

/// No room left: what cannot be kept is not acknowledged but waits where it is, known identities are renewed, new
/// ones are not given, and the status says why.
pub(super) async fn filled(world: &World, found: &mut Found) -> Result<String> {
    world.apply(POLICIES).await?;
    let refused = async || world.try_create(BAD).await.is_err();
    eventually(Duration::from_secs(20), "the bad pod is refused", refused).await?;
    // Short lives, so that known identities are renewed while there is no room.
    identity::lifetime(world, 60).await?;
    identity::replace(world, "shop", "app=gateway").await?;
    // The file system is filled to its last byte, and again as what was reserved is given back.
    there(world, r#"dd if=/dev/zero of="$small/filler" bs=64k 2>/dev/null; sync; dd if=/dev/zero of="$small/more" bs=1 2>/dev/null; true"#)
        .await?;
    found.since = jiff::Timestamp::now().to_string();
    ensure!(world.create_many(BAD, REFUSALS).await? == 0, "a bad pod was admitted");
    let told =
        async || world.asked(&["status"], 1).await.is_ok_and(|said| said.contains("log is not in force"));
    eventually(Duration::from_secs(30), "status says that nothing is kept", told).await?;
    let (known, well) = identity::shaking(world, 1).await?;
    ensure!(identity::whole(&known, well), "a known identity must be renewed: {known}");
    let fresh = identity::of_a_new_pod(world).await?;
    ensure!(fresh.is_none(), "a new identity was issued without a record: {}", fresh.unwrap_or_default());
    // What waits in memory goes with the process: the next one has to say so.
    let api: Api<Pod> = Api::namespaced(world.client.clone(), "outis-system");
    let ours = ListParams::default().labels("app.kubernetes.io/component=controller");
    api.delete_collection(&DeleteParams::default().grace_period(0), &ours).await?;
    Ok(format!(
        "known identities are renewed ({}), no new one is given, {REFUSALS} refusals wait",
        known.trim()
    ))
}

/// There is room: what waited is kept, new identities are given.
pub(super) async fn emptied(world: &World, found: &Found) -> Result<String> {
    there(world, r#"rm -f "$small/filler" "$small/more""#).await?;
    installation::in_force(world, Duration::from_secs(60)).await?;
    let all = async || absence::decisions(world, &found.since).await.is_ok_and(|kept| kept.len() >= REFUSALS);
    eventually(Duration::from_secs(60), "what waited is in the log", all).await?;
    absence::contiguous(&absence::decisions(world, &found.since).await?)?;
    let losses = async || {
        let said = world.asked(&["events", "--kind", "loss"], 0).await;
        said.is_ok_and(|said| said.contains("issuances since") && said.contains("are in no log"))
    };
    eventually(Duration::from_secs(20), "renewals that got into no log are told", losses).await?;
    let given = async || identity::of_a_new_pod(world).await.is_ok_and(|id| id.is_some());
    eventually(Duration::from_secs(60), "a new identity is given", given).await?;
    Ok(format!("{REFUSALS} refusals that waited are in the log"))
}

/// Out again, the small volume too.
pub(super) async fn leave(world: &World, found: &Found) -> Result<String> {
    world.delete(&world.good(&identity::mounting())).await?;
    installation::out(world).await?;
    world.delete("apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: small}\n").await?;
    there(world, r#"umount "$small" && rmdir "$small""#).await?;
    installation::as_before(world, found).await
}
