//! In, and out again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};

use super::{BAD, Found, GOOD, POLICIES, Patience, SHOP};
use crate::inventory::Inventory;
use crate::lines::Part;
use crate::world::{World, eventually};

const HOME: &str = "outis-system";

fn arguments(world: &World) -> Vec<String> {
    let mut arguments = vec!["install".to_owned(), "--timeout".into(), "120".into()];
    for load in &world.with.load {
        arguments.extend(["--load".into(), load.clone()]);
    }
    if let Some(archive) = &world.with.archive {
        arguments.extend(["--archive".into(), archive.display().to_string()]);
    }
    arguments
}

/// One command; ready when it returns.
pub(super) async fn install(world: &World) -> Result<String> {
    install_with(world, &[]).await
}

/// The same with more arguments.
pub(super) async fn install_with(world: &World, more: &[&str]) -> Result<String> {
    let begun = Instant::now();
    let mut arguments = arguments(world);
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.asked(&arguments, 0).await?;
    let took = begun.elapsed().as_secs_f64();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), HOME);
    let pods = pods.list(&ListParams::default()).await?.items;
    ensure!(pods.iter().all(crate::world::ready), "a pod is not ready though the install says so");
    Ok(format!("{} pods in {took:.1} s", pods.len()))
}

/// The same command again.
pub(super) async fn twice(world: &World) -> Result<String> {
    let said = world.asked(&["install", "--timeout", "60"], 0).await?;
    let line =
        said.lines().find(|line| line.contains("objects created")).context("it does not say what it did")?;
    ensure!(line.contains(" 0 objects created, 0 changed"), "{line}");
    Ok(line.split("s  ").last().unwrap_or(line).trim().to_owned())
}

/// Takes one part away, as an accident would.
pub(super) async fn remove(world: &World, part: Part) -> Result<()> {
    let (name, now) = (format!("outis-{}", part.name()), DeleteParams::foreground().grace_period(0));
    match part {
        Part::Agent => {
            Api::<DaemonSet>::namespaced(world.client.clone(), HOME).delete(&name, &now).await.map(drop)?;
        }
        Part::Webhook | Part::Controller => {
            Api::<Deployment>::namespaced(world.client.clone(), HOME).delete(&name, &now).await.map(drop)?;
        }
    }
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), HOME);
    let of = ListParams::default().labels(&format!("app.kubernetes.io/component={}", part.name()));
    let gone = async || pods.list(&of).await.is_ok_and(|list| list.items.is_empty());
    eventually(Duration::from_secs(60), "its pods are gone", gone).await
}

/// `outis status` ends with 0 once everything that is configured is in force.
pub(super) async fn status(world: &World, patience: Patience) -> Result<String> {
    in_force(world, patience.seconds(30)).await?;
    Ok("outis status ends with 0".into())
}

/// Waits until everything that is configured is in force; says what is not.
pub(crate) async fn in_force(world: &World, patience: Duration) -> Result<()> {
    let fine = async || world.asked(&["status"], 0).await.is_ok();
    if eventually(patience, "outis status ends with 0", fine).await.is_err() {
        world.asked(&["status"], 0).await?;
    }
    Ok(())
}

/// Our namespace deleted by hand, as an accident would: within a minute nobody is kept from creating anything by a
/// webhook that is no more.
pub(super) async fn deleted(world: &World) -> Result<String> {
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    world.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").await?;
    world.apply(&POLICIES.replace("mode: enforce", "mode: enforce\n  failurePolicy: Fail")).await?;
    let refused = async || world.try_create(BAD).await.is_err();
    eventually(Duration::from_secs(20), "the bad pod is refused", refused).await?;
    let begun = Instant::now();
    world.delete(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {HOME}}}\n")).await?;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    let free = async || {
        let none = webhooks.get_opt("outis").await.is_ok_and(|found| found.is_none());
        none && world.try_create(BAD).await.is_ok()
    };
    eventually(Duration::from_secs(60), "no webhook stands in the way", free).await?;
    let took = begun.elapsed().as_secs_f64();
    world.create(&world.good(GOOD)).await.context("the good pod cannot be created")?;
    let rules =
        world.on_nodes("nft list ruleset | grep -i outis | grep -v outis_masq || true").await?.join("");
    ensure!(rules.trim().is_empty(), "rules are left on the node: {rules}");
    Ok(format!("the registration is gone with the namespace, after {took:.1} s; no rule is left"))
}

/// Everything out; what was counted before is what is there after.
pub(super) async fn leave(world: &World, found: &Found) -> Result<String> {
    out(world).await?;
    as_before(world, found).await
}

/// The shop, then the appliance.
pub(super) async fn out(world: &World) -> Result<()> {
    world.delete(&world.good(GOOD)).await?;
    world.delete(&world.good(SHOP)).await?;
    world.delete(POLICIES).await.ok();
    world.asked(&["uninstall", "--purge", "--yes"], 0).await.map(drop)
}

/// Nothing that was not there before.
pub(super) async fn as_before(world: &World, found: &Found) -> Result<String> {
    let before = found.before.as_ref().context("nothing was counted before")?;
    let same = async || Inventory::take(world).await.is_ok_and(|after| before.differences(&after).is_empty());
    if let Err(late) = eventually(Duration::from_secs(60), "everything is as before", same).await {
        let after = Inventory::take(world).await?;
        bail!("{late}: {}", before.differences(&after).join(", "));
    }
    Ok(format!("{} things counted, as before", before.len()))
}
