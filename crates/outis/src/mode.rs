//! The modes: long-running parts of the appliance.

pub(crate) mod agent;
pub(crate) mod cleanup;
pub(crate) mod controller;
pub(crate) mod csi;
pub(crate) mod ruling;
pub(crate) mod webhook;

use std::collections::BTreeMap;

use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::{Record, RecordKind, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled when we are told to end.
pub(crate) fn until_told() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("Told to end");
        told.cancel();
    });
    Ok(token)
}

/// A record to be filled in.
pub(crate) fn record(now: Timestamp, kind: RecordKind, actor: &str, subject: Subject) -> Record {
    Record {
        id: crate::chance::id(now),
        time: now,
        kind,
        actor: actor.into(),
        subject,
        summary: String::new(),
        verdict: None,
        mode: None,
        priority: Priority::Informational,
        because: vec![],
        fields: BTreeMap::new(),
    }
}
