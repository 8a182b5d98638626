//! Durable writes, what they wait, opening and verifying a month, a spool.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outis_model::alert::Priority;
use outis_model::record::{Record, RecordId, Subject};
use outis_model::{RecordKind, Timestamp};
use outis_store::{Class, Log, Options, Spool, SpoolLimits};

const RUN: Duration = Duration::from_secs(4);
const DAYS: i64 = 30;
const A_DAY: u64 = 10_000;

fn record(number: u64, time: Timestamp, size: usize) -> Record {
    Record {
        id: RecordId::new(time, u128::from(number)),
        time,
        kind: RecordKind::Admission,
        actor: "jo".into(),
        subject: Subject::default(),
        summary: format!("record {number} {}", "x".repeat(size)),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for callers in [1, 32, 256] {
        durable(callers).await?;
    }
    month().await?;
    spool()
}

/// Appends of one record each, by so many callers at once.
async fn durable(callers: u64) -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir_in(".")?;
    let log = Log::open(dir.path(), &Options::default())?;
    let number = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|_| {
            let (log, number) = (log.clone(), Arc::clone(&number));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < RUN {
                    let one = record(number.fetch_add(1, Ordering::Relaxed), Timestamp::now(), 120);
                    let asked = Instant::now();
                    log.append(vec![one]).await?;
                    waits.push(asked.elapsed());
                }
                Ok::<_, outis_store::StoreError>(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for caller in running {
        waits.extend(caller.await??);
    }
    waits.sort_unstable();
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    let at = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1e3;
    println!(
        "durable appends, {callers:>3} callers  {rate:>8.0} /s   p50 {:>6.2} ms   p99 {:>6.2} ms   budget 2000",
        at(50),
        at(99)
    );
    Ok(())
}

/// A month of records: filled, opened, verified, read.
async fn month() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir_in(".")?;
    let log = Log::open(dir.path(), &Options::default())?;
    let start = Instant::now();
    for day in 0..DAYS {
        let time = Timestamp::from_second(1_728_000_000 + day * 86_400)?;
        let base = u64::try_from(day)? * A_DAY;
        for batch in 0..A_DAY / 500 {
            let first = base + batch * 500;
            log.append((first..first + 500).map(|number| record(number, time, 300)).collect()).await?;
        }
    }
    let count = A_DAY * u64::try_from(DAYS)?;
    println!(
        "filled {DAYS} days          {:>10.0} records/s in groups of 500",
        count as f64 / start.elapsed().as_secs_f64()
    );
    drop(log);
    let start = Instant::now();
    let log = Log::open(dir.path(), &Options::default())?;
    println!(
        "open, {count} records  {:>10.3} s                                       budget 1",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let verified = log.verify()??;
    println!(
        "verify                  {:>10.0} records/s",
        verified.count as f64 / start.elapsed().as_secs_f64()
    );
    println!("disk                    {:>10.0} bytes a record", size(dir.path())? as f64 / count as f64);
    Ok(())
}

fn spool() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir_in(".")?;
    let spool = Spool::open(dir.path(), SpoolLimits::default())?;
    let start = Instant::now();
    let mut pushed = 0;
    while start.elapsed() < RUN {
        pushed += spool.push(&vec![(Class::Decision, vec![7; 300]); 32])?.count();
    }
    println!(
        "spool, pushes of 32     {:>10.0} reports/s",
        f64::from(u32::try_from(pushed)?) / start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn size(dir: &std::path::Path) -> std::io::Result<u64> {
    std::fs::read_dir(dir)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let own = if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
        Ok(sum + own)
    })
}
