//! `outis why`: one record with every reason behind it.

use anyhow::Result;
use outis_model::record::Logged;

use super::ask::Asker;
use super::output;
use crate::arguments::{Cluster, Why};
use crate::exit::FINE;

/// Prints the record.
pub(super) async fn run(why: &Why, cluster: &Cluster) -> Result<u8> {
    let mut asker = Asker::new(cluster).await?;
    let logged: Logged = asker.json(&format!("/v1/records/{}", why.id)).await?;
    match output::machine(why.output, &logged)? {
        Some(machine) => println!("{machine}"),
        None => print!("{}", text(&logged)?),
    }
    Ok(FINE)
}

fn text(logged: &Logged) -> Result<String> {
    let record = &logged.record;
    let mut lines = vec![record.summary.clone(), String::new()];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<10} {value}"));
    line("kind", format!("{}, {}", record.kind, record.priority));
    if let Some(verdict) = record.verdict {
        let mode = record.mode.map(|mode| format!(" in mode {mode}")).unwrap_or_default();
        line("verdict", format!("{verdict}{mode}"));
    }
    line("about", record.subject.to_string());
    if let Some(node) = &record.subject.node {
        line("node", node.to_string());
    }
    line("by", record.actor.clone());
    line("at", record.time.to_string());
    line("log", format!("position {}", logged.seq));
    if !record.because.is_empty() {
        lines.push(String::new());
        lines.push("because".into());
        lines.extend(record.because.iter().map(|reason| format!("  - {reason}")));
    }
    let shown: Vec<String> = record
        .fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            format!("  {key} = {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    if !shown.is_empty() {
        lines.push(String::new());
        lines.push("fields".into());
        lines.extend(shown);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    Ok(text)
}
