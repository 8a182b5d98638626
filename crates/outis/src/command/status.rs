//! `outis status`: what is in force. The controller is asked, and the cluster beside it: a controller that is away
//! must not hide what it keeps up.

use anyhow::Result;
use outis_cluster::diagnose::PartState;
use serde_json::json;

use super::ask::Asker;
use super::output;
use crate::arguments::{Cluster, Output};
use crate::exit::{FAILED, FINDINGS, FINE};
use crate::network::summary;
use crate::status::Status;

/// Prints the state; 1 when a configured protection is not in force, 2 when nothing at all could be seen.
pub(super) async fn run(how: Output, cluster: &Cluster) -> Result<u8> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let home = cluster.system_namespace.as_str();
    let read = outis_cluster::install::state(&client, home).await;
    let asked: Result<Status> = async { Asker::new(cluster).await?.json("/v1/status").await }.await;
    // Parts that cannot be seen are not parts that are fine.
    let unseen = read.as_ref().err().map(|error| format!("the parts cannot be read: {error}"));
    let blind = unseen.is_some() && asked.is_err();
    let parts = read.unwrap_or_default();
    let mut faults: Vec<String> = parts.iter().filter(|part| !part.whole()).map(missing).collect();
    faults.extend(unseen);
    match &asked {
        Ok(status) => faults.extend(status.faults()),
        Err(error) => faults.push(format!("the controller cannot be asked: {}", crate::exit::chain(error))),
    }
    if let Some(machine) = output::machine(how, &json!({"faults": faults, "status": asked.as_ref().ok()}))? {
        println!("{machine}");
    } else {
        text(&parts, asked.as_ref().ok(), &faults);
    }
    Ok(match (faults.is_empty(), blind) {
        (true, _) => FINE,
        (false, true) => FAILED,
        (false, false) => FINDINGS,
    })
}

fn missing(part: &PartState) -> String {
    let why = part.stuck.clone().unwrap_or_else(|| "not ready yet".into());
    format!("{}: {} of {} ready: {why}", part.part, part.ready, part.wanted)
}

fn text(parts: &[PartState], status: Option<&Status>, faults: &[String]) {
    let mut table = output::table(["PART", "READY", ""]);
    for part in parts {
        let note = part.stuck.clone().unwrap_or_default();
        table.add_row([part.part.clone(), format!("{}/{}", part.ready, part.wanted), note]);
    }
    println!("{table}");
    if let Some(status) = status {
        println!("\ntrust domain {}, {} records in the log", status.trust_domain, status.store.records);
        if let Some(identity) = &status.identity {
            println!("{}", identity.line());
            identity.waiting.iter().for_each(|waiting| println!("  {waiting}"));
        }
        let mut table = output::table(["PROTECTION", "WHERE", "IN FORCE", ""]);
        let word = |active: bool| if active { "yes" } else { "NO" };
        for one in &status.protections {
            table.add_row([&one.name, "controller", word(one.active), &one.note]);
        }
        for part in status.components.iter().filter(|part| part.up) {
            for one in &part.protections {
                table.add_row([
                    &one.name,
                    &format!("{} {}", part.role, part.node),
                    word(one.active),
                    &one.note,
                ]);
            }
        }
        println!("\n{table}");
        let covered = status.nodes.iter().filter(|node| node.covered).count();
        println!("\n{covered} of {} nodes covered", status.nodes.len());
        for node in status.nodes.iter().filter(|node| !node.covered) {
            println!("  {} is not covered: {}", node.name, node.note);
        }
        println!("{}", summary(&status.network, "somebody").1);
    }
    match faults.is_empty() {
        true => println!("\neverything that is configured is in force"),
        false => {
            println!("\nnot in force:");
            faults.iter().for_each(|fault| println!("  {fault}"));
        }
    }
}
