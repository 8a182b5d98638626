//! Figures of the running appliance, measured where users are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::{World, eventually};

const ALERTS: usize = 200;

/// From the kernel's stamp to the written line, over many alerts.
pub(super) async fn latency(world: &World) -> Result<String> {
    let pod = world.pod_of("frontend").await?.metadata.name.context("a pod without a name")?;
    let since = jiff::Timestamp::now().to_string();
    // A shell that a shell starts is not told again: something else starts these, and by its path, or the
    // shell of many names would run it without executing anything.
    let script = format!("seq {ALERTS} | /bin/xargs -n 1 /bin/sh -c true");
    world.exec(&pod, &["/bin/sh", "-c", &script], true).await?;
    let told = async || delays(world, &since).await.is_ok_and(|delays| delays.len() >= ALERTS);
    eventually(Duration::from_secs(30), "every shell is told", told).await?;
    let mut delays = delays(world, &since).await?;
    delays.sort_by(f64::total_cmp);
    ensure!(delays.len() >= ALERTS, "only {} alerts", delays.len());
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    Ok(format!("{} alerts, p50 {:.2} ms, p99 {:.2} ms", delays.len(), at(0.5), at(0.99)))
}

async fn delays(world: &World, since: &str) -> Result<Vec<f64>> {
    let said = world
        .asked(
            &["events", "--kind", "alert", "-n", "shop", "--since", since, "--limit", "1000", "-o", "json"],
            0,
        )
        .await?;
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter_map(|line| Some(line["fields"]["delayMicroseconds"].as_f64()? / 1000.0)).collect())
}

/// Resident memory of each mode, on all nodes.
pub(super) async fn memory(world: &World) -> Result<String> {
    let found = resident(world).await?;
    ensure!(!found.is_empty(), "no process of ours was found");
    Ok(shown(&found))
}

/// Modes and their sizes, as people read them.
pub(super) fn shown(sizes: &BTreeMap<String, f64>) -> String {
    sizes.iter().map(|(mode, size)| format!("{mode} {size:.0} MiB")).collect::<Vec<_>>().join(", ")
}

/// The largest process of each mode, in MiB.
pub(super) async fn resident(world: &World) -> Result<BTreeMap<String, f64>> {
    let look = "for dir in /proc/[0-9]*; do \
        mode=$(tr '\\0' ' ' < $dir/cmdline 2>/dev/null | grep -o '^/usr/bin/outis [a-z]*' | cut -d' ' -f2); \
        [ -n \"$mode\" ] && own $dir && echo $mode $(grep VmRSS $dir/status | tr -dc 0-9); done; true";
    let said = world.on_nodes(look).await?.join("");
    let mut sizes = BTreeMap::new();
    for line in said.lines() {
        let Some((mode, kib)) = line.split_once(' ') else { continue };
        let size: &mut f64 = sizes.entry(mode.to_owned()).or_default();
        *size = size.max(kib.parse::<f64>()? / 1024.0);
    }
    Ok(sizes)
}
