//! Figures of the running appliance, measured where users are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

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

/// Resident memory of each mode on the node.
pub(super) async fn memory(world: &World) -> Result<String> {
    let Some(program) = &world.with.in_node else { return Ok("no way to look at the node".into()) };
    let look = "for dir in /proc/[0-9]*; do \
        mode=$(tr '\\0' ' ' < $dir/cmdline 2>/dev/null | grep -o '^/usr/bin/outis [a-z]*' | cut -d' ' -f2); \
        [ -n \"$mode\" ] && grep -q kubepods $dir/cgroup 2>/dev/null && grep -q \"$0\" $dir/cgroup && \
        echo $mode $(grep VmRSS $dir/status | tr -dc 0-9); done; true";
    let own = std::env::var("OUTIS_CLUSTER_NAME").map(|name| format!("outis-{name}/")).unwrap_or_default();
    let done = Command::new(program).args(["sh", "-c", look, &own]).output().await?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut modes: Vec<String> = said
        .lines()
        .filter_map(|line| {
            let (mode, kib) = line.split_once(' ')?;
            Some(format!("{mode} {:.0} MiB", kib.parse::<f64>().ok()? / 1024.0))
        })
        .collect();
    modes.sort();
    ensure!(!modes.is_empty(), "no process of ours was found");
    Ok(modes.join(", "))
}
