//! `outis identity rotate`: asks for it, and tells the phases as the log does.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use outis_identity::rotation::Phase;
use outis_model::Record;
use outis_model::record::Logged;
use outis_server::query::Rotating;

use crate::arguments::Cluster;
use crate::command::ask::Asker;
use crate::exit::FINE;

/// Replaces the intermediate at once; a new root is followed until it is the only one, or for so many seconds.
pub(super) async fn run(root: bool, timeout: u64, cluster: &Cluster) -> Result<u8> {
    let mut asker = Asker::new(cluster).await?;
    if !root {
        let done: Rotating = asker.post("/v1/identity/rotate").await?;
        println!("{}", done.text);
        return Ok(FINE);
    }
    // The ear is at the log before anything can be said.
    let lines = asker.lines("/v1/events?kind=configuration&limit=0&watch=true").await?;
    let begun: Rotating = asker.post("/v1/identity/rotate?root=true").await?;
    println!("{}", begun.text);
    match tokio::time::timeout(Duration::from_secs(timeout), follow(lines)).await {
        Ok(done) => done?,
        Err(_) => println!(
            "not done after {timeout} s; it goes on, and `outis identity status` tells how far it is"
        ),
    }
    Ok(FINE)
}

/// Prints each phase until the last.
async fn follow(lines: impl Stream<Item = std::io::Result<String>>) -> Result<()> {
    let mut lines = pin!(lines);
    while let Some(line) = lines.next().await {
        let line =
            line.context("the controller's answer broke off; `outis identity status` tells how far it is")?;
        let Ok(logged) = serde_json::from_str::<Logged>(&line) else { continue };
        let Some(phase) = phase(&logged.record) else { continue };
        println!("{}  {}", logged.record.time, logged.record.summary);
        logged.record.because.iter().for_each(|reason| println!("    {reason}"));
        if phase == Phase::Steady {
            return Ok(());
        }
    }
    bail!(
        "the controller ended the stream; the rotation goes on, and `outis identity status` tells how far it is"
    )
}

/// The phase a record tells of.
fn phase(record: &Record) -> Option<Phase> {
    serde_json::from_value(record.fields.get("rotation")?.get("phase")?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use outis_model::record::Subject;
    use outis_model::{RecordKind, Timestamp};
    use serde_json::json;

    use super::*;

    fn line(phase: Option<&str>) -> std::io::Result<String> {
        let now = Timestamp::UNIX_EPOCH;
        let mut record = crate::mode::record(now, RecordKind::Configuration, "jo", Subject::default());
        if let Some(phase) = phase {
            record.fields.insert("rotation".into(), json!({"phase": phase}));
        }
        Ok(serde_json::to_string(&Logged { seq: 1, record }).expect("JSON"))
    }

    #[tokio::test]
    async fn it_is_followed_past_what_else_is_configured_until_it_is_steady() {
        let all = [line(Some("prepared")), line(None), Ok("{}".into()), line(Some("steady"))];
        follow(futures::stream::iter(all)).await.expect("done");
        let broken = [line(Some("published"))];
        let told = follow(futures::stream::iter(broken)).await.expect_err("not done").to_string();
        assert!(told.contains("`outis identity status`"), "{told}");
    }
}
