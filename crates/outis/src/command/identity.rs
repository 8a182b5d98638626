//! `outis identity`: who has which identity, whether a chain is believed, and what vouches for them.

mod rotate;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use outis_model::Timestamp;
use outis_model::record::Logged;
use serde::Serialize;

use super::ask::Asker;
use super::output;
use crate::arguments::{Cluster, Identity, Output};
use crate::exit::{FINDINGS, FINE};
use crate::status::Status;

/// Runs one of the questions.
pub(super) async fn run(identity: &Identity, cluster: &Cluster) -> Result<u8> {
    match identity {
        Identity::List { namespace, output } => {
            list(namespace.as_ref().map(ToString::to_string), *output, cluster).await
        }
        Identity::Status { output } => status(*output, cluster).await,
        Identity::Rotate { root, timeout } => rotate::run(*root, *timeout, cluster).await,
        Identity::Bundle => {
            print!("{}", bundle(cluster).await?);
            Ok(FINE)
        }
        Identity::Verify { file, bundle: Some(path) } => {
            let roots = pem(path)?;
            verify(file, &roots)
        }
        Identity::Verify { file, bundle: None } => {
            let roots = outis_identity::from_pem(bundle(cluster).await?.as_bytes())?;
            verify(file, &roots)
        }
    }
}

fn pem(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = crate::manifests::read(path)?;
    outis_identity::from_pem(&bytes).with_context(|| format!("cannot read {}", path.display()))
}

/// The cluster's roots, as it published them.
async fn bundle(cluster: &Cluster) -> Result<String> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, cluster.system_namespace.as_str());
    let found = maps.get("outis-trust").await.context("cannot read ConfigMap outis-trust")?;
    found
        .data
        .and_then(|mut data| data.remove("bundle.pem"))
        .context("ConfigMap outis-trust has no bundle.pem")
}

fn verify(file: &Path, roots: &[Vec<u8>]) -> Result<u8> {
    let chain = pem(file)?;
    match outis_identity::verify(&chain, roots, Timestamp::now()) {
        Ok(id) => {
            println!("{id}\nthe chain of {} certificates leads to the bundle", chain.len());
            Ok(FINE)
        }
        Err(error) => {
            println!("not verified: {error}");
            Ok(FINDINGS)
        }
    }
}

async fn status(how: Output, cluster: &Cluster) -> Result<u8> {
    let status: Status = Asker::new(cluster).await?.json("/v1/status").await?;
    let identity = status.identity.context("the controller is of a version that replaces no roots")?;
    if let Some(machine) = output::machine(how, &identity)? {
        println!("{machine}");
        return Ok(FINE);
    }
    println!("{}", identity.line());
    identity.waiting.iter().for_each(|waiting| println!("  {waiting}"));
    Ok(FINE)
}

/// An identity in force.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    spiffe_id: String,
    subject: String,
    node: String,
    not_after: Timestamp,
    issued_by: String,
}

async fn list(namespace: Option<String>, how: Output, cluster: &Cluster) -> Result<u8> {
    let mut asker = Asker::new(cluster).await?;
    // Who sees one namespace may not see the state of the whole.
    let whole = namespace.is_none();
    let namespace = namespace.map(|ns| format!("&namespace={ns}")).unwrap_or_default();
    let text = asker.text(&format!("/v1/events?kind=issuance&limit=1000{namespace}")).await?;
    let rows: Vec<Row> = newest(&text, Timestamp::now()).into_values().collect();
    if let Some(machine) = output::machine(how, &rows)? {
        println!("{machine}");
        return Ok(FINE);
    }
    let mut table = output::table(["IDENTITY", "FOR", "NODE", "UNTIL"]);
    for row in rows {
        table.add_row([row.spiffe_id, row.subject, row.node, row.not_after.to_string()]);
    }
    println!("{table}");
    if whole && let Some(identity) = asker.json::<Status>("/v1/status").await?.identity {
        println!("\n{}", identity.line());
    }
    Ok(FINE)
}

/// The last certificate of each subject, those that have ended left out.
fn newest(text: &str, now: Timestamp) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::new();
    for logged in text.lines().filter_map(|line| serde_json::from_str::<Logged>(line).ok()) {
        let record = logged.record;
        let field = |key: &str| record.fields.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let Ok(not_after) = field("notAfter").parse::<Timestamp>() else { continue };
        let row = Row {
            spiffe_id: field("spiffeId").to_owned(),
            subject: record.subject.to_string(),
            node: record.subject.node.as_ref().map(ToString::to_string).unwrap_or_default(),
            not_after,
            issued_by: record.actor.clone(),
        };
        rows.insert((row.spiffe_id.clone(), row.subject.clone()), row);
    }
    rows.retain(|_, row| row.not_after > now);
    rows
}
