//! `outis detect`: rules read, listed and tried without a kernel.

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::api::{Api, ListParams};
use outis_api::DetectionRules;
use outis_detect::{Options, Partition, Report, RuleSet, RuleState, Source, falco_json, lint, replay};

use super::output;
use crate::arguments::{Cluster, Detect, Output};
use crate::exit::{FINDINGS, FINE, Usage};
use crate::rules;

/// Runs one of them.
pub(super) async fn run(detect: &Detect, cluster: &Cluster) -> Result<u8> {
    match detect {
        Detect::Lint { files, pack, output } => {
            let own = pack.then(outis_detect::pack);
            let sources: Vec<Source> = own.into_iter().chain(read(files)?).collect();
            tell(&lint(&sources, &Options::default()), *output)
        }
        Detect::Rules { files, output } => {
            let (sources, options) = match files.as_slice() {
                [] => of_cluster(cluster).await?,
                files => (read(files)?, Options::default()),
            };
            list(&lint(&sources, &options), *output)
        }
        Detect::Replay { recording, rules } => play(recording, rules),
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Source>> {
    let one = |path: &PathBuf| {
        let bytes = crate::manifests::read(path)?;
        let name = path.display().to_string();
        let text = String::from_utf8(bytes).with_context(|| format!("{name} is no UTF-8"))?;
        Ok(Source::new(name, text))
    };
    crate::manifests::collect(files)?.iter().map(one).collect()
}

async fn of_cluster(cluster: &Cluster) -> Result<(Vec<Source>, Options)> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let list = Api::<DetectionRules>::all(client).list(&ListParams::default()).await;
    let list = list.context("cannot list the cluster's detection rules; name files instead")?;
    let objects: Vec<_> = list.items.into_iter().map(std::sync::Arc::new).collect();
    Ok(rules::sources(&rules::written(&objects)))
}

fn code(report: &Report) -> u8 {
    if report.is_usable() { FINE } else { FINDINGS }
}

fn tell(report: &Report, how: Output) -> Result<u8> {
    match output::machine(how, report)? {
        Some(machine) => println!("{machine}"),
        None => println!("{report}"),
    }
    Ok(code(report))
}

fn list(report: &Report, how: Output) -> Result<u8> {
    if !report.is_usable() {
        return tell(report, how);
    }
    if let Some(machine) = output::machine(how, &report.rules)? {
        println!("{machine}");
        return Ok(FINE);
    }
    let mut table = output::table(["RULE", "PRIORITY", "STATE", "FROM"]);
    for rule in &report.rules {
        let place = format!("{}:{}", rule.file, rule.line);
        table.add_row([rule.name.to_string(), rule.priority.to_string(), rule.state.to_string(), place]);
    }
    println!("{table}");
    let active = report.rules.iter().filter(|rule| rule.state == RuleState::Active).count();
    println!("\n{active} of {} rules are active", report.rules.len());
    Ok(FINE)
}

fn play(recording: &Path, files: &[PathBuf]) -> Result<u8> {
    let sources = match files {
        [] => vec![outis_detect::pack()],
        files => read(files)?,
    };
    let set = match RuleSet::compile(&sources, &Options::default()) {
        Ok(set) => set,
        Err(faults) => bail!(Usage(format!("rules that cannot be used:\n{faults}"))),
    };
    let bytes = crate::manifests::read(recording)?;
    let mut out = std::io::stdout().lock();
    let mut matched = false;
    for found in replay(&set, Partition::default(), BufReader::new(bytes.as_slice())) {
        let (time, found) = found.with_context(|| format!("cannot replay {}", recording.display()))?;
        writeln!(out, "{}", falco_json(&found, "replay", time)).context("cannot print")?;
        matched = true;
    }
    Ok(if matched { FINDINGS } else { FINE })
}
