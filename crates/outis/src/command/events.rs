//! `outis events`: decisions, alerts and changes, newest last, with the ids `outis why` takes.

use std::io::Write;

use anyhow::{Context, Result};
use futures::StreamExt;
use outis_model::Timestamp;
use outis_model::record::Logged;
use outis_server::query::Filter;
use serde_json::Value;

use super::ask::Asker;
use crate::arguments::{Cluster, Events, Output};
use crate::exit::FINE;

/// Prints what happened, and with `-w` what happens.
pub(super) async fn run(events: &Events, cluster: &Cluster) -> Result<u8> {
    let mut asker = Asker::new(cluster).await?;
    let target = target(events, Timestamp::now());
    if !events.watch {
        let text = asker.text(&target).await?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() && events.output == Output::Text {
            eprintln!("nothing was recorded");
        }
        for line in lines {
            print(events.output, line)?;
        }
        return Ok(FINE);
    }
    let mut lines = Box::pin(asker.lines(&target).await?);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => print(events.output, &line.context("the controller's answer broke off")?)?,
                None => anyhow::bail!("the controller ended the stream; ask again"),
            },
            _ = tokio::signal::ctrl_c() => return Ok(FINE),
        }
    }
}

fn target(events: &Events, now: Timestamp) -> String {
    let filter = Filter {
        namespace: events.namespace.clone(),
        kind: events.kind,
        since: events.since.map(|since| since.instant(now)),
        from: None,
        limit: Some(usize::from(events.limit)),
        watch: events.watch,
    };
    let Ok(Value::Object(fields)) = serde_json::to_value(filter) else { return "/v1/events".into() };
    let pairs: Vec<String> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    format!("/v1/events?{}", pairs.join("&"))
}

fn print(how: Output, line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let shown = match how {
        Output::Json => line.to_owned(),
        Output::Yaml => {
            let value: Value = serde_json::from_str(line).context("a line is no JSON")?;
            format!("---\n{}", serde_saphyr::to_string(&value)?.trim_end())
        }
        Output::Text => match serde_json::from_str::<Logged>(line) {
            Ok(logged) => text(&logged),
            Err(_) => {
                match serde_json::from_str::<Value>(line).ok().and_then(|value| value["missed"].as_u64()) {
                    Some(missed) => format!("{missed} events were missed: this reader is too slow"),
                    None => format!("unreadable: {line}"),
                }
            }
        },
    };
    writeln!(out, "{shown}").context("cannot print")
}

fn text(logged: &Logged) -> String {
    let record = &logged.record;
    let time = record.time.to_string();
    let time = time.get(..19).unwrap_or(&time);
    format!(
        "{time}Z  {:<13} {:<13} {}  {}",
        record.kind.to_string(),
        record.priority.to_string(),
        record.id,
        record.summary
    )
}
