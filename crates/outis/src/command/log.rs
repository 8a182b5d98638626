//! `outis log` and `outis store`: what the record log says of itself.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};
use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::{Record, RecordId, RecordKind, Timestamp};
use outis_store::{Broken, Log, Options, Verified, verify_export};

use crate::arguments;
use crate::exit::{FINDINGS, FINE};

/// The log: the cluster's, or an export of it.
pub(super) async fn run(log: &arguments::Log, cluster: &arguments::Cluster) -> Result<u8> {
    match log {
        arguments::Log::Verify { file: Some(file) } => {
            let bytes = crate::manifests::read(file)?;
            Ok(tell(verify_export(BufReader::new(bytes.as_slice()))))
        }
        arguments::Log::Verify { file: None } => {
            let mut asker = super::ask::Asker::new(cluster).await?;
            let mut lines = Vec::new();
            export(&mut asker, |page| lines.extend_from_slice(page)).await?;
            Ok(tell(verify_export(BufReader::new(lines.as_slice()))))
        }
        arguments::Log::Export => {
            let mut asker = super::ask::Asker::new(cluster).await?;
            let mut out = std::io::stdout().lock();
            let mut failed = None;
            export(&mut asker, |page| {
                if let Err(error) = std::io::Write::write_all(&mut out, page) {
                    failed = Some(error);
                }
            })
            .await?;
            failed.map_or(Ok(FINE), |error| Err(error).context("cannot write the export"))
        }
    }
}

/// Every line of the cluster's log, page by page.
async fn export(asker: &mut super::ask::Asker, mut page: impl FnMut(&[u8])) -> Result<()> {
    let mut from = 0;
    loop {
        let text = asker.text(&format!("/v1/log?from={from}")).await?;
        let Some(last) = text.lines().rfind(|line| !line.trim().is_empty()) else { return Ok(()) };
        page(text.as_bytes());
        let line: serde_json::Value = serde_json::from_str(last).context("the log's last line is no JSON")?;
        let seq = line["seq"].as_u64().context("a line of the log has no position")?;
        if text.lines().count() < outis_server::query::PAGE {
            return Ok(());
        }
        from = seq + 1;
    }
}

/// The store on disk, which nobody may have open.
pub(super) async fn store(store: &arguments::Store) -> Result<u8> {
    match store {
        arguments::Store::Check { dir } => check(dir),
        arguments::Store::Repair { dir } => repair(dir).await,
    }
}

fn open(dir: &Path, options: &Options) -> Result<Log> {
    anyhow::ensure!(dir.join("FORMAT").exists(), "{} holds no store", dir.display());
    Log::open(dir, options).with_context(|| format!("cannot open the store in {}", dir.display()))
}

fn check(dir: &Path) -> Result<u8> {
    let log = open(dir, &Options::default())?;
    if let Some(damage) = log.damage() {
        println!("damaged: {damage}");
        return Ok(FINDINGS);
    }
    Ok(tell(log.check()?))
}

async fn repair(dir: &Path) -> Result<u8> {
    let before = open(dir, &Options::default())?;
    let Some(damage) = before.damage().map(str::to_owned) else {
        println!("nothing to repair");
        return Ok(FINE);
    };
    drop(before);
    let log = open(dir, &Options { accept_loss: true })?;
    // A record of the loss goes behind the gap: with it the store opens for writing again.
    log.append(vec![loss(&damage)?]).await.context("cannot record the loss")?;
    println!("accepted and recorded: {damage}; the gap stays visible to `outis log verify`");
    Ok(FINDINGS)
}

fn loss(damage: &str) -> Result<Record> {
    let now = Timestamp::now();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(Record {
        id: RecordId::new(now, u128::from_be_bytes(random)),
        time: now,
        kind: RecordKind::Loss,
        actor: "outis:store".into(),
        subject: Subject::default(),
        summary: format!("loss accepted by `outis store repair`: {damage}"),
        verdict: None,
        mode: None,
        priority: Priority::Critical,
        because: vec![],
        fields: BTreeMap::new(),
    })
}

fn tell(verified: Result<Verified, Broken>) -> u8 {
    match verified {
        Ok(verified) => {
            let from = if verified.first == 0 {
                String::new()
            } else {
                format!(" from position {}", verified.first)
            };
            println!("verified: {} records{from}, head {}", verified.count, verified.head);
            FINE
        }
        Err(broken) => {
            println!("broken: {broken}");
            FINDINGS
        }
    }
}
