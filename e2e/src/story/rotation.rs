//! A new root under a running shop.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, LogParams};
use serde_json::Value;

use super::identity::{lifetime, replace, shaking, shown};
use crate::world::{World, eventually};

/// In the order they are told.
const PHASES: [&str; 5] = ["prepared", "published", "activated", "retiring", "steady"];

/// With a lifetime of a minute the root is replaced from end to end while the shopper buys.
pub(super) async fn root(world: &World) -> Result<String> {
    lifetime(world, 60).await?;
    let done = replaced(world).await;
    lifetime(world, 14_400).await?;
    done
}

async fn replaced(world: &World) -> Result<String> {
    // What was issued before lives for hours, and is waited for as long as its pod is there.
    for (namespace, labels) in [
        ("outis-system", "app.kubernetes.io/component=agent"),
        ("outis-system", "app.kubernetes.io/component=webhook"),
        ("shop", "app=backend"),
        ("shop", "app=gateway"),
    ] {
        replace(world, namespace, labels).await?;
    }
    let fine = async || world.asked(&["status"], 0).await.is_ok();
    eventually(Duration::from_secs(60), "everything is in force", fine).await?;
    let (bundle_before, version_before) = published(world).await?;
    let chain_before = shown(world).await?;
    let settled = async || sales(world).await.is_ok_and(|sales| sales.bought > 0);
    eventually(Duration::from_secs(30), "the shopper buys", settled).await?;
    let sold = sales(world).await?;
    let begun = std::time::Instant::now();
    let rotate = world.asked(&["identity", "rotate", "--root", "--timeout", "240"], 0);
    let (said, shaken) = tokio::join!(rotate, shaking(world, 5));
    let (said, took, (shaken, well)) = (said?, begun.elapsed().as_secs(), shaken?);
    let shaken: Value =
        serde_json::from_str(shaken.trim()).with_context(|| format!("the gateway said {shaken:?}"))?;
    ensure!(well && shaken["failures"].as_array().is_some_and(Vec::is_empty), "handshakes failed: {shaken}");
    told(world, &said).await?;
    let sold_after = sales(world).await?;
    ensure!(
        sold_after.bought > sold.bought + 50,
        "the shopper bought {} to {}",
        sold.bought,
        sold_after.bought
    );
    ensure!(sold_after.failed == sold.failed, "{} purchases failed", sold_after.failed - sold.failed);
    judged(world, &bundle_before, version_before, &chain_before).await?;
    Ok(format!(
        "{} handshakes and {} purchases, none failed; all phases in {took} s",
        shaken["handshakes"],
        sold_after.bought - sold.bought
    ))
}

/// Every phase was printed in order, and is in the log under the name of who asked.
async fn told(world: &World, said: &str) -> Result<()> {
    let mut rest = said;
    for phase in PHASES {
        let (_, after) = rest
            .split_once(&format!("root rotation {phase}: "))
            .with_context(|| format!("{phase} is not told, or out of order: {said}"))?;
        rest = after;
    }
    let events = world.asked(&["events", "--kind", "configuration", "-o", "json"], 0).await?;
    let records = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps: Vec<Value> = records.filter(|record| !record["fields"]["rotation"].is_null()).collect();
    ensure!(steps.len() == PHASES.len(), "{} steps are in the log: {events}", steps.len());
    for step in steps {
        ensure!(step["actor"] != "outis:controller" && step["actor"] != "", "nobody asked for it: {step}");
        ensure!(step["fields"]["rotation"]["without"] == serde_json::json!([]), "left out: {step}");
    }
    Ok(())
}

/// The old root is gone from everywhere; what was issued since is believed by the new one alone.
async fn judged(
    world: &World,
    bundle_before: &str,
    version_before: u64,
    chain_before: &tempfile::NamedTempFile,
) -> Result<()> {
    let (bundle, version) = published(world).await?;
    ensure!(bundle.matches("BEGIN CERTIFICATE").count() == 1, "more than one root is left: {bundle}");
    ensure!(
        bundle != bundle_before && version == version_before + 2,
        "bundle {version_before} became {version}"
    );
    ensure!(world.asked(&["identity", "bundle"], 0).await? == bundle, "the command line has other roots");
    let state = world.asked(&["identity", "status", "-o", "json"], 0).await?;
    let state: Value = serde_json::from_str(&state)?;
    ensure!(state["phase"] == "steady" && state["roots"] == 1 && state["bundle"] == version, "{state}");
    let old = tempfile::NamedTempFile::new()?;
    std::fs::write(old.path(), bundle_before)?;
    let (old, chain) = (old.path().display().to_string(), shown(world).await?);
    let (now, before) = (chain.path().display().to_string(), chain_before.path().display().to_string());
    world.asked(&["identity", "verify", &now], 0).await.context("a new identity")?;
    for arguments in [vec!["identity", "verify", &now, "--bundle", &old], vec!["identity", "verify", &before]]
    {
        let refused = world.asked(&arguments, 1).await?;
        ensure!(refused.contains("not vouched for by this trust bundle"), "{refused}");
    }
    Ok(())
}

/// The bundle as everybody can read it, and its version.
async fn published(world: &World) -> Result<(String, u64)> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "outis-system");
    let data = maps.get("outis-trust").await?.data.context("ConfigMap outis-trust is empty")?;
    let held =
        |key: &str| data.get(key).cloned().with_context(|| format!("ConfigMap outis-trust has no {key}"));
    Ok((held("bundle.pem")?, held("version")?.parse()?))
}

pub(super) struct Sales {
    pub(super) bought: u64,
    failed: u64,
}

/// How the shopper fared so far, by its own words.
pub(super) async fn sales(world: &World) -> Result<Sales> {
    let pod = world.pod_of("shopper").await?.metadata.name.context("a pod without a name")?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "shop");
    let said = pods.logs(&pod, &LogParams { tail_lines: Some(1), ..LogParams::default() }).await?;
    let words: Vec<&str> = said.split_whitespace().collect();
    match words[..] {
        ["bought", bought, "failed", failed] => {
            Ok(Sales { bought: bought.parse()?, failed: failed.parse()? })
        }
        _ => anyhow::bail!("the shopper said {said:?}"),
    }
}
