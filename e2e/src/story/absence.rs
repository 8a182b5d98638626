//! While a part is away: nothing is lost that was promised, and what is there says so.

mod agent;
mod api;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

pub(super) use agent::agent;
pub(super) use api::api;

use super::{BAD, POLICIES, figures, installation};
use crate::world::{World, eventually};

/// Refusals made while the controller is away.
const REFUSALS: usize = 1000;

async fn scale(world: &World, name: &str, replicas: i32) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(world.client.clone(), "outis-system");
    let patch = json!({"spec": {"replicas": replicas}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let there = async || {
        api.get(name).await.is_ok_and(|found| {
            let status = found.status.unwrap_or_default();
            status.ready_replicas.unwrap_or(0) == replicas && status.replicas.unwrap_or(0) == replicas
        })
    };
    eventually(Duration::from_secs(60), &format!("{name} has {replicas} replicas"), there).await
}

/// With the controller away requests are still judged; on its return every decision is in the log, its numbers
/// without a gap.
pub(super) async fn controller(world: &World) -> Result<String> {
    let begun = jiff::Timestamp::now();
    scale(world, "outis-controller", 0).await?;
    let told = world.asked(&["status"], 1).await?;
    ensure!(told.contains("not in force"), "status does not say that the controller is away: {told}");
    let first = world.pod_of("backend").await?.metadata.name.context("a pod without a name")?;
    let (said, well) = world.exec(&first, &["/usr/bin/outis-shop", "identity"], false).await?;
    ensure!(well, "identities that were issued are no longer served: {said}");
    let admitted = world.create_many(BAD, REFUSALS).await?;
    ensure!(admitted == 0, "{admitted} bad pods were admitted while the controller was away");
    let away = Instant::now();
    scale(world, "outis-controller", 1).await?;
    let back = away.elapsed().as_secs_f64();
    let mut kept = Vec::new();
    let all = async || decisions(world, &begun.to_string()).await.is_ok_and(|found| found.len() >= REFUSALS);
    eventually(Duration::from_secs(60), "every decision is in the log", all).await?;
    kept.extend(decisions(world, &begun.to_string()).await?);
    contiguous(&kept)?;
    installation::in_force(world, Duration::from_secs(40)).await?;
    Ok(format!(
        "{} decisions kept, numbers without a gap; ready {back:.1} s after it was asked back",
        kept.len()
    ))
}

/// The controller away for minutes, while requests are refused and shells are started: whoever is left does not grow,
/// and afterwards every decision is in the log.
pub(super) async fn minutes(world: &World, minutes: u64) -> Result<String> {
    let begun = jiff::Timestamp::now();
    scale(world, "outis-controller", 0).await?;
    let frontend = world.pod_of("frontend").await?.metadata.name.context("a pod without a name")?;
    let each = REFUSALS.div_ceil(minutes.max(1) as usize).max(40);
    let (mut made, mut sizes) = (0, Vec::new());
    let mut clock = tokio::time::interval(Duration::from_secs(60));
    for minute in 0..minutes {
        clock.tick().await;
        ensure!(world.create_many(BAD, each).await? == 0, "a bad pod was admitted");
        made += each;
        world.exec(&frontend, &["/bin/sh", "-c", "true"], true).await?;
        let size = figures::resident(world).await?;
        println!("        minute {minute}: {}", figures::shown(&size));
        sizes.push(size);
    }
    scale(world, "outis-controller", 1).await?;
    let all = async || decisions(world, &begun.to_string()).await.is_ok_and(|found| found.len() >= made);
    eventually(Duration::from_secs(120), "every decision is in the log", all).await?;
    let kept = decisions(world, &begun.to_string()).await?;
    contiguous(&kept)?;
    let (early, late) = (sizes.get(sizes.len() / 3), sizes.last());
    for (mode, late) in late.into_iter().flatten() {
        let before = early.and_then(|early| early.get(mode)).copied().unwrap_or_default();
        ensure!(*late <= before * 1.1 + 2.0, "{mode} grew from {before:.0} to {late:.0} MiB");
    }
    Ok(format!("{} decisions kept without a gap; {}", kept.len(), figures::shown(late.context("no minute")?)))
}

/// Admission records since a time, from the exported log.
pub(crate) async fn decisions(world: &World, since: &str) -> Result<Vec<Value>> {
    let said = world.asked(&["log", "export"], 0).await?;
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let record = |line: Value| -> Option<Value> {
        // An export holds each record's very bytes: they are what the hashes are of.
        let record: Value = serde_json::from_str(line["record"].as_str()?).ok()?;
        let ours = record["kind"] == "admission" && record["time"].as_str().is_some_and(|time| time >= since);
        ours.then_some(record)
    };
    Ok(lines.filter_map(record).collect())
}

/// Within each spool every number follows the one before.
pub(crate) fn contiguous(records: &[Value]) -> Result<()> {
    let mut spools = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for record in records {
        let link = &record["fields"]["link"];
        let spool = link["spool"].as_str().context("a record without its spool")?.to_owned();
        spools
            .entry(spool)
            .or_default()
            .push(link["sequence"].as_u64().context("a record without its number")?);
    }
    for (spool, mut numbers) in spools {
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            ensure!(pair[1] == pair[0] + 1, "spool {spool}: {} is followed by {}", pair[0], pair[1]);
        }
    }
    Ok(())
}

/// With every webhook away, writes go on where the policy says Ignore. What got in that way is found when they are
/// back, told, and forgotten once it is gone.
pub(super) async fn webhook(world: &World) -> Result<String> {
    scale(world, "outis-webhook", 0).await?;
    let admitted = async || world.create(BAD).await.is_ok();
    eventually(Duration::from_secs(20), "with Ignore, writes go on", admitted).await?;
    let told = world.asked(&["status"], 1).await?;
    ensure!(told.contains("admission"), "status does not say that admission is away: {told}");
    scale(world, "outis-webhook", 2).await?;
    let back = Instant::now();
    let listed = async || world.asked(&["status"], 0).await.is_ok_and(|said| said.contains(UNJUDGED));
    eventually(Duration::from_secs(60), "what was admitted unjudged is listed", listed).await?;
    let took = back.elapsed().as_secs_f64();
    let said = world.asked(&["events", "-n", "shop", "--kind", "admission"], 0).await?;
    let record = said.lines().find(|line| line.contains("admitted unjudged: Pod shop/miner"));
    let record = record.with_context(|| format!("it has no record: {said}"))?;
    ensure!(record.contains("shop-limits"), "its record names no policy: {record}");
    world.delete(BAD).await?;
    let gone = async || world.asked(&["status"], 0).await.is_ok_and(|said| !said.contains(UNJUDGED));
    eventually(Duration::from_secs(60), "an object that is gone leaves the list", gone).await?;
    ensure!(world.try_create(BAD).await.is_err(), "the bad pod is admitted though webhooks are back");
    Ok(format!(
        "Ignore lets writes go on; {took:.1} s after the return the bad pod is listed, until it is gone"
    ))
}

/// How `outis status` names the bad pod.
const UNJUDGED: &str = "Pod shop/miner of ";

/// With every webhook away Fail refuses, until the watchdog's time is over.
pub(super) async fn watchdog(world: &World) -> Result<String> {
    let closed = POLICIES.replace("mode: enforce", "mode: enforce\n  failurePolicy: Fail");
    world.apply(&closed).await?;
    world.apply(&watchdog_after(WATCHDOG)).await?;
    let done = opened_and_closed(world).await;
    // Whatever came of it: a Fail webhook with nobody behind it would keep the next lines from their pods.
    world.apply(&watchdog_after(0)).await?;
    world.apply(POLICIES).await?;
    scale(world, "outis-webhook", 2).await?;
    done
}

/// Seconds the watchdog waits.
const WATCHDOG: u32 = 10;

fn watchdog_after(seconds: u32) -> String {
    format!(
        "apiVersion: outis.dev/v1alpha1\nkind: Outis\nmetadata: {{name: cluster}}\nspec: {{admission: {{watchdogSeconds: {seconds}}}}}\n"
    )
}

async fn opened_and_closed(world: &World) -> Result<String> {
    let fails = async || failing(world).await.is_ok_and(|policy| policy == "Fail");
    let ignores = async || failing(world).await.is_ok_and(|policy| policy == "Ignore");
    eventually(Duration::from_secs(20), "the registration fails closed", fails).await?;
    let unasked = async || match world.try_create(BAD).await {
        Err(kube::Error::Api(status)) => status.message.contains("failed calling webhook"),
        _ => false,
    };
    let refuses = eventually(Duration::from_secs(30), "Fail refuses without a webhook", unasked);
    let (gone, refused) = tokio::join!(scale(world, "outis-webhook", 0), refuses);
    gone.and(refused)?;
    let begun = Instant::now();
    eventually(Duration::from_secs(60), "the watchdog turns Fail to Ignore", ignores).await?;
    let took = begun.elapsed().as_secs_f64();
    let admitted = async || world.try_create(BAD).await.is_ok();
    eventually(Duration::from_secs(20), "a write goes on", admitted).await?;
    let told = world.asked(&["status"], 1).await?;
    ensure!(told.contains("fail closed is not in force"), "status does not say so: {told}");
    scale(world, "outis-webhook", 2).await?;
    eventually(Duration::from_secs(30), "it turns back to Fail", fails).await?;
    let both = async || {
        let said = world.asked(&["events", "--kind", "configuration"], 0).await.unwrap_or_default();
        ["from Fail to Ignore", "is back at Fail"].iter().all(|turn| said.contains(turn))
    };
    eventually(Duration::from_secs(10), "both turns are recorded", both).await?;
    Ok(format!("Ignore {took:.1} s after all were gone with {WATCHDOG} s set, Fail again on their return"))
}

/// What becomes of a request that must be judged while nobody answers.
async fn failing(world: &World) -> Result<String> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    let webhooks = api.get("outis").await?.webhooks.unwrap_or_default();
    let fail = webhooks.into_iter().find(|webhook| webhook.name == "fail.admission.outis.dev");
    fail.and_then(|webhook| webhook.failure_policy).context("nothing is registered to fail")
}
