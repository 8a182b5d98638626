//! Threads that judge. Each owns its programs (sharing them would make two threads slower than one) and takes
//! from a short queue of its own; when every queue is full the request is turned away at once, counted, and
//! the API server does what the failure policy says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use outis_admission::{Judge, Limits, PolicySet};
use outis_model::Timestamp;
use outis_model::port::{Answer, Refusal};
use outis_model::review::Review;
use outis_server::webhook::{Admit, Admitted};
use tokio::sync::{mpsc, oneshot};

use super::decide;
use super::report::Reports;
use super::source::Source;

/// Requests that wait for one worker.
const QUEUE: usize = 64;

struct Task {
    review: Review,
    answer: oneshot::Sender<Admitted>,
}

/// The workers of one webhook.
pub(super) struct Workers {
    queues: Vec<mpsc::Sender<Task>>,
    next: AtomicUsize,
    judged: AtomicU64,
    unjudged: Arc<AtomicU64>,
}

impl Workers {
    pub(super) fn start(
        count: usize,
        set: Arc<ArcSwap<PolicySet>>,
        source: Source,
        reports: Reports,
    ) -> std::io::Result<Self> {
        let unjudged = reports.unjudged();
        let mut queues = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let (set, source, reports) = (Arc::clone(&set), source.clone(), reports.clone());
            let name = format!("judge-{number}");
            std::thread::Builder::new().name(name).spawn(move || work(receiver, &set, &source, &reports))?;
            queues.push(sender);
        }
        Ok(Self { queues, next: AtomicUsize::new(0), judged: AtomicU64::new(0), unjudged })
    }

    pub(super) fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    pub(super) fn unjudged(&self) -> u64 {
        self.unjudged.load(Ordering::Relaxed)
    }

    /// Hands a task to the next worker with room.
    fn hand_over(&self, mut task: Task) -> Result<(), ()> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..self.queues.len() {
            match self.queues[(first + step) % self.queues.len()].try_send(task) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                    task = back
                }
            }
        }
        Err(())
    }
}

impl Admit for Workers {
    fn admit(&self, review: Review) -> Answer<'_, Result<Admitted, Refusal>> {
        let (answer, answered) = oneshot::channel();
        let handed = self.hand_over(Task { review, answer });
        Box::pin(async move {
            if handed.is_err() {
                self.unjudged.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::Unavailable("every worker's queue is full; try again".into()));
            }
            let Ok(admitted) = answered.await else {
                self.unjudged.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::Unavailable("the worker ended while it judged".into()));
            };
            self.judged.fetch_add(1, Ordering::Relaxed);
            Ok(admitted)
        })
    }
}

/// One worker's life. A judge that panics is made anew: one object may not end the thread for all after it.
fn work(mut receiver: mpsc::Receiver<Task>, set: &ArcSwap<PolicySet>, source: &Source, reports: &Reports) {
    let mut judge = Judge::new(&set.load_full());
    while let Some(mut task) = receiver.blocking_recv() {
        if !task.review.namespace.is_empty() {
            task.review.namespace_object = source.namespace(&task.review.namespace);
        }
        let current = set.load_full();
        if !Arc::ptr_eq(judge.set(), &current) {
            judge = Judge::new(&current);
        }
        let judging = std::panic::AssertUnwindSafe(|| judge.review(&task.review, Limits::default()));
        match std::panic::catch_unwind(judging) {
            Ok(decision) => {
                let mut decided =
                    decide::decide(&task.review, &decision, Timestamp::now(), crate::chance::number());
                // The API server may have given up; then nobody listens, and it went by the failure policy.
                if task.answer.send(decided.admitted).is_err() {
                    reports.unjudged().fetch_add(1, Ordering::Relaxed);
                    decide::too_late(&mut decided.record);
                }
                decide::note(&decided.record);
                reports.take(decided.record);
            }
            Err(_) => {
                tracing::error!(kind = task.review.kind.kind, "A judge panicked; the request is unjudged");
                judge = Judge::new(&current);
            }
        }
    }
}
