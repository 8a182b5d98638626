//! Who enforces NetworkPolicy: the appliance must find out by itself, whoever it is.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use serde_json::Value;
use tokio::process::Command;

use crate::world::{World, eventually};

/// What a verdict may take: three looks, and the time they take.
const WITHIN: Duration = Duration::from_secs(60);
/// The first one, when the controller has only just started.
const FIRST: Duration = Duration::from_secs(90);
/// The port of the webhook that our own NetworkPolicy does not allow.
const DENIED: u16 = 9452;
/// Our rules on the node, while we play the enforcer.
const TABLE: &str = "inet e2e_enforcer";
/// A policy that nobody needs, to be counted.
const IDLE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing-in, namespace: shop}
spec: {podSelector: {matchLabels: {app: nobody}}, policyTypes: [Ingress]}
";

/// What `outis doctor` says of the network: its standing and its sentence.
async fn told(world: &World) -> Result<(String, String)> {
    let ran = world.outis_here(&["doctor", "-o", "json"]).await?;
    let checks: Vec<Value> =
        serde_json::from_str(&ran.out).with_context(|| format!("doctor: {}{}", ran.out, ran.err))?;
    let check = checks.iter().find(|check| check["name"] == "network").context("no check `network`")?;
    let word = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    Ok((word("standing"), word("text")))
}

/// Waits until doctor says so; how long that took.
async fn becomes(world: &World, standing: &str, words: &str) -> Result<f64> {
    let begun = Instant::now();
    let so = async || told(world).await.is_ok_and(|(found, text)| found == standing && text.contains(words));
    if let Err(error) = eventually(WITHIN, &format!("doctor says {words:?}"), so).await {
        let (standing, text) = told(world).await?;
        bail!("{error}; it says {standing}: {text}");
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// The verdict is right whether somebody enforces or nobody does, and follows when that changes.
pub(super) async fn enforcement(world: &World) -> Result<String> {
    let any = async || told(world).await.is_ok_and(|(standing, _)| standing != "unknown");
    eventually(FIRST, "doctor knows who enforces NetworkPolicy", any).await?;
    let (standing, first) = told(world).await?;
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await?.items.len();
    match &world.with.in_node {
        // A cluster of ours has nobody who enforces.
        Some(node) if nodes == 1 => {
            ensure!(standing == "limited", "nobody enforces here, and doctor says {standing}: {first}");
            follows(world, node).await
        }
        Some(_) => Ok(format!("{first}; only looked at: it takes one node")),
        None => Ok(format!("{first}; only looked at: there is no way to the node")),
    }
}

async fn follows(world: &World, node: &Path) -> Result<String> {
    counted(world).await?;
    let begun = jiff::Timestamp::now().to_string();
    let enforced = enforced(world, node).await;
    // Whatever happened, the rules go; a table that was never made must not hide why.
    nft(node, &format!("add table {TABLE}; delete table {TABLE}")).await?;
    let enforced = enforced?;
    let nobody = becomes(world, "limited", "nobody enforces NetworkPolicy on 1 of 1 nodes (probed)").await?;
    let shown = world.outis_here(&["status"]).await?.out;
    ensure!(
        shown.contains("nobody enforces NetworkPolicy on 1 of 1 nodes"),
        "status does not say it: {shown}"
    );
    recorded(world, &begun).await?;
    Ok(format!(
        "nobody; by rules on the node somebody, after {enforced:.0} s; nobody again, after {nobody:.0} s"
    ))
}

/// Doctor names how many policies have no effect.
async fn counted(world: &World) -> Result<()> {
    world.apply(IDLE).await?;
    let others = ListParams::default().labels("app.kubernetes.io/part-of!=outis");
    let listed = Api::<NetworkPolicy>::all(world.client.clone()).list(&others).await;
    let said = told(world).await;
    world.delete(IDLE).await?;
    let (count, (_, text)) = (listed?.items.len(), said?);
    ensure!(text.contains(&format!("; {count} NetworkPolic")), "{count} policies are not named: {text}");
    Ok(())
}

/// Drops on the node what our policy does not allow, as a network plugin would.
async fn enforced(world: &World, node: &Path) -> Result<f64> {
    let (mut four, mut six) = (vec![], vec![]);
    for address in webhooks(world).await? {
        match address {
            IpAddr::V4(address) => four.push(address.to_string()),
            IpAddr::V6(address) => six.push(address.to_string()),
        }
    }
    ensure!(!four.is_empty() || !six.is_empty(), "no webhook pod has an address");
    let rule = |family: &str, to: &[String]| match to.is_empty() {
        true => String::new(),
        false => format!("{family} daddr {{ {} }} tcp dport {DENIED} drop; ", to.join(", ")),
    };
    let (four, six) = (rule("ip", &four), rule("ip6", &six));
    let chain = format!("chain forward {{ type filter hook forward priority 0; {four}{six}}}");
    nft(node, &format!("table {TABLE} {{ {chain}; }}")).await?;
    becomes(world, "fine", "enforces NetworkPolicy on 1 of 1 nodes (probed)").await
}

async fn webhooks(world: &World) -> Result<Vec<IpAddr>> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "outis-system");
    let of = ListParams::default().labels("app.kubernetes.io/component=webhook");
    let pods = pods.list(&of).await?.items;
    let statuses = pods.into_iter().filter_map(|pod| pod.status);
    let addresses = statuses.flat_map(|status| status.pod_ips.unwrap_or_default());
    addresses.map(|found| Ok(found.ip.parse()?)).collect()
}

async fn nft(node: &Path, command: &str) -> Result<()> {
    let done = Command::new(node).args(["nft", command]).output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "`nft {command}` on the node: {said}");
    Ok(())
}

/// The loss is in the log as a warning, with what answered.
async fn recorded(world: &World, since: &str) -> Result<()> {
    let said = world.asked(&["events", "--kind", "component", "--since", since, "-o", "json"], 0).await?;
    let mut records = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lost = records
        .find(|record| {
            record["fields"]["enforcement"] == "nobody" && record["fields"]["provedBefore"] == "enforced"
        })
        .with_context(|| format!("the loss was not recorded: {said}"))?;
    ensure!(lost["priority"] == "Warning", "it is no warning: {lost}");
    ensure!(lost["because"][0]["code"] == "DeniedPortAnswered", "it does not say why: {lost}");
    Ok(())
}
