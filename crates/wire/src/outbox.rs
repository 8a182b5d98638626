//! The producer's end of the spool: what is put here reaches the controller, or is counted.

use std::ops::Range;
use std::sync::Arc;

use outis_model::input::Report;
use tokio::sync::Notify;

use crate::MAX_REPORT;
use crate::message::Class;
use crate::spool::{Entry, Spool, SpoolError};

/// A spool and a bell. Clones share both.
#[derive(Clone)]
pub struct Outbox {
    spool: Arc<dyn Spool>,
    bell: Arc<Notify>,
}

impl Outbox {
    /// Over this spool.
    #[must_use]
    pub fn new(spool: Arc<dyn Spool>) -> Self {
        Self { spool, bell: Arc::default() }
    }

    /// Puts a report in the spool; it has a number, and is as durable as the spool gets, on return.
    ///
    /// # Errors
    /// The spool cannot be used, or the report is larger than [`MAX_REPORT`] even in JSON. It is not
    /// kept then: count it.
    pub async fn push(&self, class: Class, report: &Report) -> Result<u64, SpoolError> {
        let range = self.push_all(vec![(class, report)]).await?;
        Ok(range.start)
    }

    /// Puts several in the spool at the price of one.
    ///
    /// # Errors
    /// As [`Outbox::push`]; none of them is kept then.
    pub async fn push_all(&self, reports: Vec<(Class, &Report)>) -> Result<Range<u64>, SpoolError> {
        let mut rows = Vec::with_capacity(reports.len());
        for (class, report) in reports {
            rows.push((class, encode(report)?));
        }
        let range = self.with(move |spool| spool.push(rows)).await?;
        self.bell.notify_one();
        Ok(range)
    }

    /// The spool below.
    #[must_use]
    pub fn spool(&self) -> &Arc<dyn Spool> {
        &self.spool
    }

    pub(crate) async fn peek(&self, from: u64, limit: usize, bytes: usize) -> Result<Vec<Entry>, SpoolError> {
        self.with(move |spool| spool.peek(from, limit, bytes)).await
    }

    pub(crate) async fn ack(&self, up_to: u64) -> Result<(), SpoolError> {
        self.with(move |spool| spool.ack(up_to)).await
    }

    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    async fn with<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let spool = Arc::clone(&self.spool);
        let asked = tokio::task::spawn_blocking(move || ask(&*spool)).await;
        asked.unwrap_or_else(|error| Err(SpoolError(format!("the spool's thread ended: {error}"))))
    }
}

fn encode(report: &Report) -> Result<Vec<u8>, SpoolError> {
    let bytes =
        serde_json::to_vec(report).map_err(|error| SpoolError(format!("cannot write a report: {error}")))?;
    if bytes.len() > MAX_REPORT {
        return Err(SpoolError(format!("a report of {} bytes is larger than {MAX_REPORT}", bytes.len())));
    }
    Ok(bytes)
}
