//! Detection: a shell in a container is told, with everything that says where and who.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Found, Patience};
use crate::world::{World, eventually};

const RULE: &str = "Terminal shell in container";
/// What every alert must say.
const FIELDS: [&str; 10] = [
    "rule",
    "hostname",
    "container.id",
    "container.image.repository",
    "k8s.ns.name",
    "k8s.pod.name",
    "proc.cmdline",
    "proc.pname",
    "user.uid",
    "evt.time",
];

/// Alerts of the shell rule in the shop, oldest first.
async fn alerts(world: &World) -> Result<Vec<Value>> {
    alerts_since(world, "1970-01-01T00:00:00Z").await
}

/// The same since a time.
pub(crate) async fn alerts_since(world: &World, since: &str) -> Result<Vec<Value>> {
    let ask = ["events", "--kind", "alert", "-n", "shop", "--since", since, "--limit", "1000", "-o", "json"];
    let said = world.asked(&ask, 0).await?;
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["fields"]["rule"] == RULE).collect())
}

pub(super) async fn shell(world: &World, found: &mut Found, patience: Patience) -> Result<String> {
    let pod = world.pod_of("frontend").await?;
    let name = pod.metadata.name.clone().context("a pod without a name")?;
    let before = alerts(world).await?.len();
    let (listed, well) = world.exec(&name, &["/bin/ls", "/"], false).await?;
    ensure!(well, "ls failed: {listed}");
    let (_, well) = world.exec(&name, &["/bin/sh", "-c", "echo hello"], true).await?;
    ensure!(well, "the shell failed");
    let told = async || alerts(world).await.is_ok_and(|alerts| alerts.len() > before);
    eventually(patience.seconds(20), "the shell raised an alert", told).await?;
    let alerts = alerts(world).await?;
    ensure!(alerts.len() == before + 1, "{} alerts for one shell", alerts.len() - before);
    let alert = alerts.last().context("no alert")?;
    let fields = &alert["fields"];
    for field in FIELDS {
        let value = &fields[field];
        ensure!(!value.is_null() && value != "" && value != "<NA>", "{field} is empty: {alert}");
    }
    let status = pod.status.context("a pod without a status")?;
    let container = status.container_statuses.into_iter().flatten().next().context("no container")?;
    let id = container.container_id.unwrap_or_default();
    let short = id.split("://").nth(1).unwrap_or_default().get(..12).unwrap_or_default().to_owned();
    for (field, expected) in [
        ("k8s.ns.name", "shop"),
        ("k8s.pod.name", &name),
        ("container.id", &short),
        ("container.image.repository", "localhost/outis/shop"),
        ("proc.cmdline", "sh -c echo hello"),
    ] {
        ensure!(fields[field] == expected, "{field} is {}, not {expected}", fields[field]);
    }
    ensure!(
        fields["user.uid"].to_string().trim_matches('"') == "10001",
        "user.uid is {}",
        fields["user.uid"]
    );
    found.alert = alert["id"].as_str().map(str::to_owned);
    let delay = fields["delayMicroseconds"].as_f64().context("no delay")? / 1000.0;
    Ok(format!("{RULE}, written {delay:.2} ms after the kernel's stamp"))
}

pub(super) async fn why(world: &World, found: &Found) -> Result<String> {
    let id = found.alert.as_deref().context("nothing was detected")?;
    let said = async || world.asked(&["why", id], 0).await.is_ok();
    eventually(Duration::from_secs(10), "the alert is in the log", said).await?;
    let said = world.asked(&["why", id], 0).await?;
    for part in ["because", RULE, "k8s.pod.name = frontend", "proc.cmdline = sh -c echo hello"] {
        ensure!(said.contains(part), "no word of {part}: {said}");
    }
    Ok(format!("{} fields", said.lines().filter(|line| line.contains(" = ")).count()))
}
