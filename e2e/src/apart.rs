//! The webhook apart from everything else: a process of its own beside a real API server, with neither controller
//! nor installation. What it refuses is not stored, whatever becomes of its policies or of itself.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use crate::With;
use crate::lines::Lines;
use crate::story::{BAD, GOOD, POLICIES, refusal};
use crate::webhook::Webhook;
use crate::world::{World, eventually};

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

/// Tells it from end to end.
pub(crate) async fn run(with: &With) -> Result<Lines> {
    let world = World::new(with).await?;
    let mut lines = Lines::default();
    play(&world, &mut lines).await;
    lines.tell("webhook apart: nothing left", &[], clean(&world)).await;
    Ok(lines)
}

async fn play(world: &World, lines: &mut Lines) -> Option<()> {
    lines.tell("webhook apart: cluster ready", &[], cluster(world)).await;
    lines
        .tell(
            "webhook apart: resources defined, a faulty policy refused with a sentence",
            &[],
            defined(world),
        )
        .await;
    let mut started = None;
    lines.tell("webhook apart: webhook ready and registered", &[], register(world, &mut started)).await;
    let mut webhook = started?;
    lines.tell("webhook apart: a bad pod is refused by all three engines", &[], refused(world)).await;
    lines.tell("webhook apart: a good pod is admitted and runs", &[], refusal::admitted(world)).await;
    lines.tell("webhook apart: scan says the same offline", &[], refusal::scanned(world)).await;
    lines.tell("webhook apart: latency at 200 requests a second", &[], latency(world, &webhook)).await;
    lines.tell("webhook apart: policies that only warn refuse nothing", &[], warned(world)).await;
    lines
        .tell(
            "webhook apart: an unreadable policy is told, the old one judges",
            &[],
            unreadable(world, &webhook),
        )
        .await;
    lines
        .tell(
            "webhook apart: without the webhook, Ignore admits and Fail refuses",
            &[],
            away(world, &mut webhook),
        )
        .await;
    Some(())
}

async fn cluster(world: &World) -> Result<String> {
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await?;
    let version = world.client.apiserver_version().await?.git_version;
    ensure!(!nodes.items.is_empty(), "the cluster has no node");
    Ok(format!("Kubernetes {version}, {} nodes", nodes.items.len()))
}

async fn defined(world: &World) -> Result<String> {
    let crds = world.outis(&["crds"]).await?;
    world.apply(&crds.out).await?;
    let known = async || world.apply(&POLICIES.replace("shop-", "probe-")).await.is_ok();
    eventually(Duration::from_secs(20), "the API server takes policies", known).await?;
    world.delete(&POLICIES.replace("shop-", "probe-")).await?;
    let two = POLICIES.replace(
        "podSecurity: {level: restricted}",
        "podSecurity: {level: restricted}\n  cel: {validations: [{expression: 'true'}]}",
    );
    let Err(kube::Error::Api(status)) = world.try_create(&two).await else {
        bail!("two engines in one policy were taken")
    };
    ensure!(
        status.message.contains("exactly one of podSecurity, rego and cel must be given"),
        "{}",
        status.message
    );
    Ok("and one with two engines is refused: exactly one of podSecurity, rego and cel must be given".into())
}

async fn register(world: &World, started: &mut Option<Webhook>) -> Result<String> {
    world.apply(NAMESPACE).await?;
    world.apply(POLICIES).await?;
    let webhook = Webhook::start(world).await?;
    world.apply(&webhook.registration("Ignore").to_string()).await?;
    let said = format!("at {}", webhook.address);
    *started = Some(webhook);
    Ok(said)
}

/// The message with which the API server refuses the bad pod, if it does.
async fn refusal(world: &World) -> Option<String> {
    match world.try_create(BAD).await {
        Err(kube::Error::Api(status)) => Some(status.message),
        _ => None,
    }
}

async fn refused(world: &World) -> Result<String> {
    // The API server takes a registration over within a second or so.
    let told = async || refusal(world).await.is_some();
    eventually(Duration::from_secs(20), "the bad pod is refused", told).await?;
    let message = refusal(world).await.context("admitted after all")?;
    for part in [
        "shop-restricted",
        "shop-registries",
        "shop-limits",
        "spec.containers[0].securityContext.privileged",
        "to fix",
    ] {
        ensure!(message.contains(part), "no word of {part}: {message}");
    }
    let id = message.rsplit("outis why ").next().unwrap_or_default().trim_matches(['`', '.', ')']);
    ensure!(id.len() == 26, "the refusal does not end with its id: {message}");
    Ok(message)
}

async fn latency(world: &World, webhook: &Webhook) -> Result<String> {
    let pod: serde_json::Value = serde_saphyr::from_str(&world.good(GOOD))?;
    let load = crate::load::run(&webhook.address, &webhook.certificate, pod, 200, 10).await?;
    let (p50, p99) = (load.percentile(0.5), load.percentile(0.99));
    Ok(format!(
        "{} answered, p50 {p50:.2} ms, p99 {p99:.2} ms, RSS {:.0} MiB",
        load.count(),
        webhook.memory()?
    ))
}

async fn warned(world: &World) -> Result<String> {
    world.apply(&POLICIES.replace("mode: enforce", "mode: warn")).await?;
    let passes = async || world.try_create(BAD).await.is_ok();
    eventually(Duration::from_secs(15), "the bad pod is admitted with warnings", passes).await?;
    world.apply(POLICIES).await?;
    let told = async || refusal(world).await.is_some();
    eventually(Duration::from_secs(15), "it is refused again", told).await?;
    Ok("changed and changed back, taken over both times".into())
}

async fn unreadable(world: &World, webhook: &Webhook) -> Result<String> {
    world
        .apply(&POLICIES.replace("object.spec.containers.all(", "object.spec.containers.nosuchfunction("))
        .await?;
    let told = async || webhook.log().contains("A policy cannot be used");
    eventually(Duration::from_secs(15), "the fault is in the log", told).await?;
    let message = refusal(world).await.context("the bad pod was admitted")?;
    ensure!(message.contains("shop-limits"), "the old version does not judge: {message}");
    world.apply(POLICIES).await?;
    Ok("the old version of shop-limits went on judging".into())
}

async fn away(world: &World, webhook: &mut Webhook) -> Result<String> {
    webhook.kill().await?;
    ensure!(world.try_create(BAD).await.is_ok(), "with Ignore, writes must go on");
    world.apply(&webhook.registration("Fail").to_string()).await?;
    let refused = async || world.try_create(BAD).await.is_err();
    eventually(Duration::from_secs(15), "with Fail, the pod is refused", refused).await?;
    if world.try_create_elsewhere().await.is_err() {
        bail!("another namespace is touched");
    }
    Ok("and other namespaces are not touched".into())
}

async fn clean(world: &World) -> Result<String> {
    let registration = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: outis-e2e}\n";
    world.delete(registration).await?;
    world.delete(NAMESPACE).await?;
    world.delete(POLICIES).await?;
    world.delete(&world.outis(&["crds"]).await?.out).await?;
    Ok("registration, namespace, policies and their definition are gone".into())
}
