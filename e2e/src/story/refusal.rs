//! Admission: refused with reasons, admitted without.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};

use super::{BAD, Found, GOOD, POLICIES, Patience};
use crate::world::{World, eventually, ready};

/// Every policy's status says so, for its own generation.
pub(super) async fn accepted(world: &World, patience: Patience) -> Result<String> {
    world.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").await?;
    world.apply(POLICIES).await?;
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("outis.dev", "v1alpha1", "AdmissionPolicy"),
        "admissionpolicies",
    );
    let policies: Api<DynamicObject> = Api::all_with(world.client.clone(), &kind);
    let all = async || match policies.list(&Default::default()).await {
        Ok(list) => {
            list.items.len() == 3
                && list.items.iter().all(|policy| says(policy, "Accepted") && says(policy, "Enforced"))
        }
        Err(_) => false,
    };
    eventually(patience.seconds(10), "three policies are Accepted and Enforced", all).await?;
    Ok("3 policies: podSecurity, rego, cel".into())
}

fn says(policy: &DynamicObject, kind: &str) -> bool {
    let conditions = policy.data.pointer("/status/conditions").and_then(|found| found.as_array()).cloned();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == kind
            && condition["status"] == "True"
            && condition["observedGeneration"].as_i64() == policy.metadata.generation
    })
}

/// The message with which the API server refuses the bad pod, if it does.
async fn refusal(world: &World) -> Option<String> {
    match world.create(BAD).await {
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Ok(()) => {
            world.delete(BAD).await.ok();
            None
        }
        Err(_) => None,
    }
}

pub(super) async fn refused(world: &World, found: &mut Found, patience: Patience) -> Result<String> {
    // The API server takes a registration over within a second or so.
    let told = async || refusal(world).await.is_some_and(|message| message.contains("shop-limits"));
    eventually(patience.seconds(20), "the bad pod is refused", told).await?;
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
    found.refusal = Some(id.to_owned());
    Ok(message)
}

pub(crate) async fn admitted(world: &World) -> Result<String> {
    world.create(&world.good(GOOD)).await?;
    let up = async || world.get_pod("ledger").await.is_ok_and(|pod| ready(&pod));
    eventually(Duration::from_secs(60), "the good pod is ready", up).await?;
    Ok("ledger is ready".into())
}

pub(crate) async fn scanned(world: &World) -> Result<String> {
    let dir = tempfile::tempdir()?;
    for (name, manifest, code) in [("bad.yaml", BAD.to_owned(), 1), ("good.yaml", world.good(GOOD), 0)] {
        let file = dir.path().join(name);
        std::fs::write(&file, manifest)?;
        world.asked(&["scan", &file.display().to_string()], code).await?;
    }
    Ok("exit 1 for the bad pod, 0 for the good one, by the cluster's policies".into())
}

pub(super) async fn why(world: &World, found: &Found) -> Result<String> {
    let id = found.refusal.as_deref().context("nothing was refused")?;
    let told = async || world.asked(&["why", id], 0).await.is_ok();
    eventually(Duration::from_secs(10), "the decision is in the log", told).await?;
    let said = world.asked(&["why", id], 0).await?;
    for part in ["because", "shop-limits", "deny in mode enforce", "Pod shop/miner"] {
        ensure!(said.contains(part), "no word of {part}: {said}");
    }
    Ok(format!("{} lines of reasons", said.lines().filter(|line| line.starts_with("  - ")).count()))
}
