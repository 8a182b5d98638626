//! What was admitted while nobody judged: looked for once a webhook is back, recorded, listed, and taken off the list
//! when it is gone or fine. Nothing is ever deleted or changed.
//!
//! The controller does it and not a webhook, though both have the policies: there is one controller, so one record for
//! each object; it has the log and outlives the absence, where a webhook that was away does not know since when; and
//! webhooks need no right to list what they judge.
//!
//! Limits: objects are judged by the policies as they are now, as if they were created; who wrote them is not known,
//! and of an update not what was before. What cannot be told by times is in `outis_cluster::live`.

pub(crate) mod book;
pub(crate) mod sweep;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use outis_model::input::Role;
use outis_model::{Input, Timestamp};
use tokio::task::JoinHandle;

use super::attendance::{SETTLE, Sight};
use super::house::House;
use book::Book;
use sweep::{Asked, Done, Task};

/// Where it is kept in the store.
const KEY: &str = "admission/unjudged";
/// How often listed objects are judged again, in seconds.
const AGAIN: i64 = 15;
/// How old the newest look in the store may be, in seconds: not each look costs a write.
const OLD: i64 = 15;

/// Its keeper.
pub(crate) struct Unjudged {
    house: Arc<House>,
    book: Book,
    /// The book as it lies in the store.
    kept: Option<Vec<u8>>,
    /// Whether nothing was looked at yet since we started.
    first: bool,
    /// What each webhook says it left unjudged.
    missed: BTreeMap<String, u64>,
    /// When listed objects were judged last.
    again: Option<Timestamp>,
    /// When a look failed last.
    failed: Option<Timestamp>,
    work: Option<JoinHandle<Result<Done>>>,
    done: Option<Result<Done>>,
}

impl Unjudged {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Self {
            house,
            book: Book::default(),
            kept: None,
            first: true,
            missed: BTreeMap::new(),
            again: None,
            failed: None,
            work: None,
            done: None,
        }
    }

    /// Reads what was remembered before a restart.
    pub(crate) async fn recall(&mut self) {
        match self.house.on_disk(|_, state| state.get(KEY)).await {
            Ok(kept) => {
                self.book =
                    kept.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
                self.kept = kept;
            }
            Err(error) => tracing::warn!(%error, "What was admitted unjudged cannot be remembered"),
        }
        self.publish();
    }

    /// Since when nobody is ready.
    pub(crate) fn away(&self) -> Option<Timestamp> {
        self.book.attendance.away.map(|away| away.since)
    }

    /// When somebody was ready again, as long as what was admitted until then is not judged.
    pub(crate) fn returned(&self) -> Option<Timestamp> {
        let attendance = &self.book.attendance;
        attendance.due.filter(|_| attendance.away.is_none()).map(|span| span.until)
    }

    /// When to look again at the latest, if there is something to wait for.
    pub(crate) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let due = self.book.attendance.due.map(|span| span.until.as_second() + SETTLE);
        let again = self.again.filter(|_| !self.book.listed.is_empty()).map(|last| last.as_second() + AGAIN);
        let failed = self.failed.map(|last| last.as_second() + AGAIN);
        let left = due
            .into_iter()
            .chain(again)
            .chain(failed)
            .map(|then| then - now.as_second())
            .filter(|left| *left > 0);
        left.min().map(|left| Duration::from_secs(left.unsigned_abs()))
    }

    /// Takes note of who is there to judge.
    pub(crate) async fn attend(&mut self, relied: bool, ready: usize, now: Timestamp) {
        let missed = self.count_missed();
        let first = std::mem::replace(&mut self.first, false);
        self.book.attendance.attend(Sight { relied, ready, missed, first }, now);
        // On disk before anybody acts upon it: a restart must not forget since when nobody is there.
        self.keep().await;
    }

    /// Whether a webhook that is there left requests unjudged since the look before.
    fn count_missed(&mut self) -> bool {
        let world = self.house.world();
        let webhooks = world.components.iter().filter(|(one, _)| one.role == Role::Webhook);
        let count = |counters: &BTreeMap<String, u64>| counters.get("unjudged_total").copied().unwrap_or(0);
        let now: BTreeMap<String, u64> =
            webhooks.map(|(one, state)| (one.pod.clone(), count(&state.health.counters))).collect();
        let grew = now.iter().any(|(pod, count)| *count > self.missed.get(pod).copied().unwrap_or(0));
        self.missed = now;
        grew
    }

    /// Takes in what was seen, and sends out to see what is to be seen next.
    pub(crate) async fn look(&mut self, asked: &Asked, now: Timestamp) {
        if let Some(done) = self.done.take()
            && let Err(error) = self.take(done, now).await
        {
            self.failed = Some(now);
            let why = crate::exit::chain(&error);
            tracing::warn!(error = why, "What was admitted unjudged cannot be looked for");
            self.book.blind = vec![format!("nothing could be looked at: {why}")];
        }
        self.keep().await;
        self.publish();
        let span = self.book.span(now);
        let again = self.again.is_none_or(|last| now.as_second() >= last.as_second() + AGAIN);
        // After a failure the cluster is left alone for a while, however much is due.
        let resting = self.failed.is_some_and(|last| now.as_second() < last.as_second() + AGAIN);
        if resting {
            return;
        }
        self.failed = None;
        if self.work.is_some() || span.is_none() && (self.book.listed.is_empty() || !again) {
            return;
        }
        self.again = Some(now);
        let listed = self.book.listed.iter().map(|entry| entry.place.clone()).collect();
        let (client, room) = (self.house.client.clone(), self.book.room());
        let task = Task { client, asked: asked.clone(), listed, span, room };
        self.work = Some(tokio::spawn(sweep::work(task)));
    }

    /// Waits until what was sent out is back; for ever when nothing is.
    pub(crate) async fn finished(&mut self) {
        let Some(work) = &mut self.work else { return std::future::pending().await };
        let done = work.await;
        self.work = None;
        self.done = Some(done.context("the task that looks ended").and_then(|done| done));
    }

    async fn take(&mut self, done: Result<Done>, now: Timestamp) -> Result<()> {
        let done = done?;
        let mut book = self.book.clone();
        book.strike(&done.struck);
        let records = match done.swept {
            Some(swept) => book.enter(swept, now, || crate::chance::id(now)),
            None => vec![],
        };
        // First the log, then the list: what is listed names its record. The owner, who tells people, appends them
        // once more, and the log keeps each once.
        if !records.is_empty() {
            self.house.append(records.clone()).await.context("the records cannot be kept")?;
        }
        self.book = book;
        for record in records {
            tracing::warn!(id = %record.id, summary = record.summary, "Admitted unjudged");
            self.house.tell(Input::Happened(record));
        }
        Ok(())
    }

    fn publish(&self) {
        let shown = self.book.shown();
        self.house.measure("outis_admitted_unjudged", shown.count);
        *self.house.unjudged.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    async fn keep(&mut self) {
        if !self.worth_keeping() {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(&self.book) else { return };
        let (old, new) = (self.kept.clone(), bytes.clone());
        match self.house.on_disk(move |_, state| state.swap(KEY, old.as_deref(), Some(&new))).await {
            Ok(true) => self.kept = Some(bytes),
            Ok(false) => tracing::error!("Somebody else writes what we remember of admission"),
            Err(error) => tracing::warn!(%error, "What was admitted unjudged cannot be kept"),
        }
    }

    /// Whether the book says something the store does not, the time of the newest look apart for a while.
    fn worth_keeping(&self) -> bool {
        let kept: Option<Book> = self.kept.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let Some(mut kept) = kept else { return true };
        let seconds = |book: &Book| book.attendance.looked.map_or(0, Timestamp::as_second);
        let old = seconds(&self.book) - seconds(&kept) >= OLD;
        kept.attendance.looked = self.book.attendance.looked;
        old || kept != self.book
    }
}
