//! The main story: installed with one command, the appliance identifies, refuses and detects on a real cluster, can
//! say why, and leaves nothing behind.

mod absence;
mod detection;
mod disk;
mod figures;
mod identity;
mod installation;
mod network;
mod people;
pub(crate) mod refusal;
mod rotation;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use tokio::process::Command;

use crate::With;
use crate::inventory::Inventory;
use crate::lines::Part::{Agent, Controller, Webhook};
use crate::lines::{Lines, Part};
use crate::world::{World, eventually};

pub(crate) const POLICIES: &str = include_str!("../shop/policies.yaml");
pub(crate) const GOOD: &str = include_str!("../shop/good-pod.yaml");
pub(crate) const BAD: &str = include_str!("../shop/bad-pod.yaml");
const SHOP: &str = include_str!("../shop/shop.yaml");

/// What one line leaves for later ones.
#[derive(Default)]
pub(crate) struct Found {
    before: Option<Inventory>,
    refusal: Option<String>,
    alert: Option<String>,
    /// When the disk was full.
    since: String,
}

/// How long a line waits; short when it is expected to wait in vain.
#[derive(Clone, Copy)]
pub(crate) struct Patience(Option<Part>);

impl Patience {
    pub(crate) fn seconds(self, usual: u64) -> Duration {
        Duration::from_secs(if self.0.is_some() { usual.min(15) } else { usual })
    }
}

/// Tells the story, then shows what happens until Ctrl-C unless it is only a check.
pub(crate) async fn tell(with: &With, check: bool, keep: bool, without: Option<Part>) -> Result<bool> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    play(&world, &mut lines, &mut found, without).await;
    if !check {
        println!("--- what happens (Ctrl-C ends):");
        let mut watching = Command::new(&with.outis);
        watching
            .arg("--kubeconfig")
            .arg(&with.kubeconfig)
            .args(["events", "-w", "--limit", "10"])
            .stdin(Stdio::null());
        // Ctrl-C reaches both; it ends, and we clean up.
        tokio::select! {
            status = watching.status() => drop(status.context("cannot show what happens")?),
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    if !keep {
        finish(&world, &mut lines, &found).await;
    }
    let failed = lines.failed();
    let colon = if failed.is_empty() { "" } else { ":" };
    println!("{} lines fine, {} failed{colon}", lines.passed(), failed.len());
    failed.iter().for_each(|name| println!("  {name}"));
    Ok(failed.is_empty())
}

/// How much of the story is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// What a demo shows.
    Brief,
    /// That, and everything else that is checked on the running appliance.
    Whole,
}

/// The story from end to end, for the tests.
pub(crate) async fn run(with: &With, without: Option<Part>, length: Length) -> Result<Lines> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    play(&world, &mut lines, &mut found, without).await;
    if length == Length::Whole {
        more(&world, &mut lines, &found).await;
    }
    finish(&world, &mut lines, &found).await;
    Ok(lines)
}

/// Identities renewed and the root replaced under a shop that sells.
pub(crate) async fn keys(with: &With) -> Result<Lines> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    play(&world, &mut lines, &mut found, None).await;
    lines.tell("identities rotate without a failed handshake", &[], identity::rotations(&world)).await;
    lines.tell("the root is replaced while the shop sells", &[], rotation::root(&world)).await;
    lines.tell("record log still verified", &[], verified(&world)).await;
    finish(&world, &mut lines, &found).await;
    Ok(lines)
}

/// Installed, then its namespace deleted by hand: nothing of it may stand in the way of others.
pub(crate) async fn namespace(with: &With) -> Result<Lines> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    lines.tell("deleted namespace: cluster ready", &[], cluster(&world, &mut found)).await;
    lines.tell("deleted namespace: installed", &[], installation::install(&world)).await;
    lines.tell("deleted namespace: nothing stands in the way", &[], installation::deleted(&world)).await;
    lines.tell("deleted namespace: purged, nothing left", &[], installation::leave(&world, &found)).await;
    Ok(lines)
}

/// The store's disk fills up, and has room again.
pub(crate) async fn full(with: &With) -> Result<Lines> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    lines.tell("full disk: cluster ready", &[], cluster(&world, &mut found)).await;
    lines.tell("full disk: installed on a small volume", &[], disk::install(&world)).await;
    lines.tell("full disk: shop deployed", &[], deployed(&world, Patience(None))).await;
    lines
        .tell("full disk: said, and nothing new is acknowledged", &[], disk::filled(&world, &mut found))
        .await;
    lines.tell("full disk: with room again, all goes on", &[], disk::emptied(&world, &found)).await;
    lines.tell("full disk: record log verified", &[], verified(&world)).await;
    lines.tell("full disk: uninstalled, nothing left", &[], disk::leave(&world, &found)).await;
    Ok(lines)
}

/// Minutes without the controller, while requests are refused and shells are started: nobody grows, nothing is lost.
pub(crate) async fn away(with: &With, minutes: u64) -> Result<bool> {
    let world = World::new(with).await?;
    let (mut lines, mut found) = (Lines::default(), Found::default());
    play(&world, &mut lines, &mut found, None).await;
    lines.tell("minutes without the controller", &[], absence::minutes(&world, minutes)).await;
    finish(&world, &mut lines, &found).await;
    Ok(lines.failed().is_empty())
}

/// What a demo need not show.
async fn more(world: &World, lines: &mut Lines, found: &Found) {
    lines.tell("a developer sees one namespace", &[], people::developer(world, found)).await;
    lines.tell("a planted credential is found nowhere", &[], people::redacted(world)).await;
    lines.tell("kernel stamp to written alert", &[], figures::latency(world)).await;
    lines.tell("without the controller nothing is lost", &[], absence::controller(world)).await;
    lines
        .tell("without a webhook writes go on, and are judged afterwards", &[], absence::webhook(world))
        .await;
    lines.tell("the watchdog opens what fails closed", &[], absence::watchdog(world)).await;
    lines.tell("without the agent its node is told, the shop sells", &[], absence::agent(world)).await;
    match &world.with.in_node {
        Some(program) => {
            lines.tell("memory", &[], figures::memory(world)).await;
            lines.tell("without the Kubernetes API nodes go on", &[], absence::api(world, program)).await;
        }
        None => println!("SKIPPED memory, Kubernetes API away: there is no way to the nodes of this cluster"),
    }
    lines.tell("who enforces NetworkPolicy is proved", &[], network::enforcement(world)).await;
    lines.tell("record log still verified", &[], verified(world)).await;
}

async fn play(world: &World, lines: &mut Lines, found: &mut Found, without: Option<Part>) {
    let patience = Patience(without);
    lines.tell("cluster ready", &[], cluster(world, found)).await;
    lines.tell("installed, every part ready", &[], installation::install(world)).await;
    lines.tell("installing twice changes nothing", &[], installation::twice(world)).await;
    if let Some(part) = without
        && let Err(error) = installation::remove(world, part).await
    {
        println!("the {} cannot be removed: {error:#}", part.name());
    }
    lines
        .tell(
            "everything configured is in force",
            &[Agent, Webhook, Controller],
            installation::status(world, patience),
        )
        .await;
    lines.tell("shop deployed, a shopper buys", &[Agent, Controller], deployed(world, patience)).await;
    lines.tell("backend's identity verified", &[Agent, Controller], identity::backend(world)).await;
    lines.tell("a foreign identity is refused", &[Agent, Controller], identity::foreign(world)).await;
    lines
        .tell("policies accepted and enforced", &[Webhook, Controller], refusal::accepted(world, patience))
        .await;
    lines
        .tell("a bad pod is refused", &[Webhook, Controller], refusal::refused(world, found, patience))
        .await;
    lines.tell("a good pod is admitted", &[], refusal::admitted(world)).await;
    lines.tell("scan says the same offline", &[], refusal::scanned(world)).await;
    lines
        .tell(
            "ls without a terminal is no alert, a shell is",
            &[Agent, Controller],
            detection::shell(world, found, patience),
        )
        .await;
    lines.tell("why, for the refusal", &[Webhook, Controller], refusal::why(world, found)).await;
    lines.tell("why, for the alert", &[Agent, Controller], detection::why(world, found)).await;
    lines.tell("record log verified", &[Controller], verified(world)).await;
}

async fn finish(world: &World, lines: &mut Lines, found: &Found) {
    lines.tell("uninstalled, nothing left", &[], installation::leave(world, found)).await;
}

async fn cluster(world: &World, found: &mut Found) -> Result<String> {
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await?;
    let version = world.client.apiserver_version().await?.git_version;
    ensure!(!nodes.items.is_empty(), "the cluster has no node");
    let before = Inventory::take(world).await?;
    let size = before.len();
    found.before = Some(before);
    Ok(format!("Kubernetes {version}, {} nodes, {size} things counted", nodes.items.len()))
}

async fn deployed(world: &World, patience: Patience) -> Result<String> {
    world.apply(&world.good(SHOP)).await?;
    let servers = ["frontend", "gateway", "backend", "database", "shopper"];
    let all = async || {
        for app in servers {
            if world.pod_of(app).await.is_err() {
                return false;
            }
        }
        true
    };
    eventually(patience.seconds(90), "every server of the shop is ready", all).await?;
    let buys = async || rotation::sales(world).await.is_ok_and(|sales| sales.bought > 0);
    eventually(patience.seconds(30), "the shopper has bought something", buys).await?;
    Ok("frontend -> gateway -> backend (mTLS) -> database".into())
}

async fn verified(world: &World) -> Result<String> {
    let said = world.asked(&["log", "verify"], 0).await?;
    Ok(said.trim().to_owned())
}
