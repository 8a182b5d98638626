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

/// The log, offline.
pub(super) fn run(log: &arguments::Log) -> Result<u8> {
    match log {
        arguments::Log::Verify { file } => {
            let bytes = crate::manifests::read(file)?;
            Ok(tell(verify_export(BufReader::new(bytes.as_slice()))))
        }
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
