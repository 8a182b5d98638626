//! The admission webhook: judges requests by workers that own their programs, never by a queue that grows.
//! It needs no controller: policies come from the API server itself, or from a folder.

mod decide;
mod live;
mod report;
mod serving;
mod source;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use outis_admission::PolicySet;
use outis_model::Timestamp;
use outis_server::canary;
use outis_server::health::{self, Readiness};
use outis_server::http::{Counts, Door, bind};
use tracing::{info, warn};

use crate::arguments::Cluster;
use crate::config::WebhookConfig;
use crate::policies;
use live::Live;
use report::Reports;
use source::Source;
use workers::Workers;

/// Runs until told to end.
pub(crate) async fn run(config: WebhookConfig, cluster: &Cluster) -> Result<()> {
    let told = super::until_told()?;
    // Ports first: one in use is told before anything else starts.
    let door = bind(&config.address.to_string()).await?;
    let health_door = bind(&config.health.to_string()).await?;
    let canary_open = bind(&config.canary_open.to_string()).await?;
    let canary_denied = bind(&config.canary_denied.to_string()).await?;
    let (source, client) = match config.policies {
        Some(dir) => (Source::Folder(dir), None),
        None => {
            let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref());
            let client = client.await?;
            (Source::cluster(&client), Some(client))
        }
    };
    let readiness = awaited(client.is_some());
    let live = client.as_ref().map(|client| Live::watch(client, &config.link.namespace));
    let reports = Reports::start(&config.link, client, &readiness, &told);
    let set = Arc::new(ArcSwap::from_pointee(PolicySet::default()));
    let workers = Workers::start(config.workers, Arc::clone(&set), source.clone(), reports.clone());
    let workers = Arc::new(workers.context("cannot start the workers")?);
    let serving = serving::Serving::new(&config.serving);
    let tls = outis_identity::tls::plain_server(serving.credential())?;
    let counts = Arc::new(Counts::default());
    let counters = counters(Arc::clone(&workers), Arc::clone(&counts), source.clone(), reports);
    let keep = keep_current(source, live, set, serving, readiness.clone());
    let health = Door { name: "health", listener: health_door, tls: None, counts: Arc::default() };
    let webhook = Door { name: "webhook", listener: door, tls: Some(tls), counts };
    info!(address = %config.address, workers = config.workers, "Webhook listens");
    let served = async {
        tokio::join!(
            webhook.serve(outis_server::webhook::router(workers), told.cancelled()),
            health.serve(health::router(readiness, counters), told.cancelled()),
            canary::serve(canary_open, told.cancelled()),
            canary::serve(canary_denied, told.cancelled()),
        )
    };
    tokio::select! {
        _ = served => {}
        () = keep => {}
    }
    Ok(())
}

/// What must hold before we are ready. Who judges by a folder has no cluster to look at: whoever registers such a
/// webhook vouches for its certificate.
fn awaited(in_cluster: bool) -> Readiness {
    match in_cluster {
        true => Readiness::awaiting(&["policies", "certificate", "registration"]),
        false => Readiness::awaiting(&["policies", "certificate"]),
    }
}

/// Takes over changed policies and certificates, for ever. What cannot be used leaves the old in force, and
/// readiness and log say so.
async fn keep_current(
    source: Source,
    mut live: Option<Live>,
    set: Arc<ArcSwap<PolicySet>>,
    mut serving: serving::Serving,
    readiness: Readiness,
) {
    let mut last = None;
    loop {
        match serving.refresh() {
            Ok(()) => readiness.holds("certificate"),
            Err(error) => readiness.fails("certificate", format!("{error:#}")),
        }
        if let Some(live) = &live {
            match live.believes(serving.chain(), Timestamp::now()) {
                Ok(()) => readiness.holds("registration"),
                Err(why) => readiness.fails("registration", why),
            }
        }
        match source.written().await {
            Ok(written) if last.as_ref() == Some(&written) => {}
            Ok(written) => {
                last = Some(written.clone());
                take_over(&set, &set.load_full(), written, &readiness);
            }
            Err(error) => {
                warn!(error = format!("{error:#}"), "Policies cannot be read");
                // What was taken over before goes on judging: only who never had any is not ready.
                if last.is_none() {
                    readiness.fails("policies", format!("{error:#}"));
                }
            }
        }
        tokio::select! {
            () = source.changed() => {}
            () = registered(&mut live) => {}
        }
    }
}

/// Waits until the registration may have changed; for ever when there is none to look at.
async fn registered(live: &mut Option<Live>) {
    match live {
        Some(live) => live.changed().await,
        None => std::future::pending().await,
    }
}

fn take_over(
    set: &ArcSwap<PolicySet>,
    old: &PolicySet,
    written: Vec<policies::Written>,
    readiness: &Readiness,
) {
    let (new, faults) = PolicySet::compile_onto(old, written);
    for fault in &faults {
        warn!(%fault, older_kept = fault.older_kept, "A policy cannot be used");
    }
    info!(policies = new.len(), faults = faults.len(), "Policies taken over");
    set.store(Arc::new(new));
    // A policy that judges by its older version is no reason to stop judging; one that judges not at all is.
    let unjudged: Vec<String> =
        faults.iter().filter(|fault| !fault.older_kept).map(ToString::to_string).collect();
    match unjudged.is_empty() {
        true => readiness.holds("policies"),
        false => readiness.fails("policies", unjudged.join("; ")),
    }
}

fn counters(
    workers: Arc<Workers>,
    counts: Arc<Counts>,
    source: Source,
    reports: Reports,
) -> health::Counters {
    Arc::new(move || {
        BTreeMap::from([
            ("outis_admission_reviews_total".to_owned(), workers.judged()),
            ("outis_admission_unjudged_total".to_owned(), workers.unjudged()),
            ("outis_reports_lost_total".to_owned(), reports.lost()),
            ("outis_connections_total".to_owned(), counts.accepted.load(Ordering::Relaxed)),
            ("outis_refused_total".to_owned(), counts.refused.load(Ordering::Relaxed)),
            ("outis_watch_stale".to_owned(), u64::from(source.stale().is_some())),
        ])
    })
}

#[cfg(test)]
mod tests;
