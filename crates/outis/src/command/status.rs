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
use crate::status::{Status, Unjudged};

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
        unjudged(&status.unjudged).iter().for_each(|line| println!("{line}"));
    }
    match faults.is_empty() {
        true => println!("\neverything that is configured is in force"),
        false => {
            println!("\nnot in force:");
            faults.iter().for_each(|fault| println!("  {fault}"));
        }
    }
}

/// Objects a reader sees at once.
const FIRST: usize = 5;

/// What was admitted while nobody judged; nothing when that is nothing.
fn unjudged(unjudged: &Unjudged) -> Vec<String> {
    let mut lines = Vec::new();
    if unjudged.count > 0 {
        lines.push(format!("\nadmitted unjudged, while no webhook answered: {}", unjudged.count));
        lines.extend(unjudged.objects.iter().take(FIRST).map(|one| {
            let policies = one.policies.join(", ");
            format!("  {} of {}, against {policies} (outis why {})", one.object, one.changed, one.record)
        }));
        let more = unjudged.count.saturating_sub(FIRST as u64);
        lines.extend((more > 0).then(|| format!("  and {more} more: outis events --kind admission")));
    }
    lines.extend(
        unjudged.blind.iter().map(|blind| format!("\nnot looked at for what was admitted unjudged: {blind}")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use outis_model::{RecordId, Timestamp};

    use super::*;
    use crate::status::UnjudgedObject;

    fn one(number: u128) -> UnjudgedObject {
        UnjudgedObject {
            object: format!("Pod shop/p{number}"),
            changed: Timestamp::UNIX_EPOCH,
            record: RecordId::new(Timestamp::UNIX_EPOCH, number),
            policies: vec!["limits".into(), "registries".into()],
        }
    }

    #[test]
    fn what_was_admitted_unjudged_is_counted_and_the_first_are_named() {
        assert!(unjudged(&Unjudged::default()).is_empty());
        let few = Unjudged { count: 1, objects: vec![one(7)], blind: vec![] };
        assert_eq!(
            unjudged(&few),
            [
                "\nadmitted unjudged, while no webhook answered: 1",
                "  Pod shop/p7 of 1970-01-01T00:00:00Z, against limits, registries (outis why 00000000000000000000000007)",
            ]
        );
        let many =
            Unjudged { count: 31, objects: (0..20).map(one).collect(), blind: vec!["secrets: no".into()] };
        let lines = unjudged(&many);
        assert_eq!(lines.len(), 1 + FIRST + 2);
        assert_eq!(lines[FIRST + 1], "  and 26 more: outis events --kind admission");
        assert!(lines[FIRST + 2].ends_with("secrets: no"), "{lines:?}");
    }
}
