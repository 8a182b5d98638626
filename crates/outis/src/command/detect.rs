//! `outis detect`: rules read, listed and tried without a kernel.

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::api::{Api, ListParams};
use outis_api::DetectionRules;
use outis_detect::{
    Fault, Options, Partition, Report, RuleFaults, RuleSet, RuleState, Source, falco_json, lint, replay,
};

use super::output;
use crate::arguments::{Cluster, Detect, Output};
use crate::exit::{FINDINGS, FINE, Usage};
use crate::rules;

/// Runs one of them.
pub(super) async fn run(detect: &Detect, cluster: &Cluster) -> Result<u8> {
    match detect {
        Detect::Lint { files, pack, output } => {
            let own = pack.then(outis_detect::pack);
            let (sources, faults) = read(files)?;
            let sources: Vec<Source> = own.into_iter().chain(sources).collect();
            tell(&with(faults, lint(&sources, &Options::default())), *output)
        }
        Detect::Rules { files, output } => {
            let ((sources, faults), options) = match files.as_slice() {
                [] => of_cluster(cluster).await?,
                files => (read(files)?, Options::default()),
            };
            list(&with(faults, lint(&sources, &options)), *output)
        }
        Detect::Replay { recording, rules } => play(recording, rules),
    }
}

/// Texts, and the faults of files that are none.
type Read = (Vec<Source>, Vec<Fault>);

fn read(files: &[PathBuf]) -> Result<Read> {
    let (mut sources, mut faults) = Read::default();
    for path in crate::manifests::collect(files)? {
        match Source::read(path.display().to_string(), crate::manifests::read(&path)?) {
            Ok(source) => sources.push(source),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((sources, faults))
}

/// What is wrong with some files is told beside what is wrong with the others.
fn with(faults: Vec<Fault>, mut report: Report) -> Report {
    if !faults.is_empty() {
        report.faults.splice(..0, faults);
        report.rules.clear();
    }
    report
}

async fn of_cluster(cluster: &Cluster) -> Result<(Read, Options)> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let list = Api::<DetectionRules>::all(client).list(&ListParams::default()).await;
    let list = list.context("cannot list the cluster's detection rules; name files instead")?;
    let objects: Vec<_> = list.items.into_iter().map(std::sync::Arc::new).collect();
    let (sources, options) = rules::sources(&rules::written(&objects));
    Ok(((sources, vec![]), options))
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
    let (sources, faults) = match files {
        [] => (vec![outis_detect::pack()], vec![]),
        files => read(files)?,
    };
    let compiled = RuleSet::compile(&sources, &Options::default()).map_err(|faults| faults.0);
    let set = match (faults.is_empty(), compiled) {
        (true, Ok(set)) => set,
        (_, compiled) => {
            let all = RuleFaults(faults.into_iter().chain(compiled.err().unwrap_or_default()).collect());
            bail!(Usage(format!("rules that cannot be used:\n{all}")))
        }
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
