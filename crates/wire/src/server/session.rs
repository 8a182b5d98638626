//! One component's stream: its reports stored and acknowledged, resources pushed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use outis_model::effect::Resource;
use outis_model::input::{Component, Report};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::accept::Peer;
use super::link::Seats;
use super::{Doors, Limits, Refused, Sender, Why};
use crate::MAX_RESOURCE;
use crate::error::describe;
use crate::message::{Downward, Hello, Malformed, Numbered, Upward};
use crate::proto;
use crate::sequence::{Ledger, SequenceError};

/// Stored at once, about.
const BATCH_BYTES: usize = 1 << 20;
/// How long a sender may take to introduce itself, and to read what we say.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Session {
    pub(super) doors: Doors,
    pub(super) limits: Limits,
    pub(super) life: watch::Receiver<()>,
    pub(super) seats: Arc<Seats>,
    pub(super) peer: Arc<Peer>,
    pub(super) component: Component,
    pub(super) up: Streaming<proto::Up>,
    pub(super) down: mpsc::Sender<Result<proto::Down, Status>>,
}

/// How a session ends.
enum End {
    /// The peer left, or we do: nothing to tell anybody.
    Left,
    /// Nothing is wrong: it is to come back.
    Return(&'static str),
    /// Refused by name.
    Refused(Why, String),
}

impl Session {
    pub(super) async fn run(mut self) {
        let end = match self.welcome().await {
            Ok(end) | Err(end) => end,
        };
        let last = match end {
            End::Left => return,
            End::Return(text) => Err(Status::unavailable(text)),
            End::Refused(why, text) => {
                let id = self.peer.id.clone().and_then(Result::ok);
                let address = self.peer.address;
                self.doors.sink.refused(Refused { address, id, why, text: text.clone() });
                Ok(Downward::Refused { reason: why.word().into(), text }.into())
            }
        };
        // A peer that does not read has lost its right to know.
        let _ = timeout(PATIENCE, self.down.send(last)).await;
    }

    async fn welcome(&mut self) -> Result<End, End> {
        let first = timeout(PATIENCE, self.up.next()).await;
        let hello = match first.map_err(|_| silent("no greeting within 10 s"))? {
            None => return Ok(End::Left),
            Some(message) => match read(message)? {
                (Upward::Hello(hello), _) => hello,
                _ => return Err(malformed("the first message has to be a greeting".into())),
            },
        };
        self.same(&hello)?;
        let sender = Sender { component: self.component.clone(), spool: hello.spool };
        let seats = Arc::clone(&self.seats);
        let taken = timeout(self.limits.store + PATIENCE, seats.take(&sender.key())).await;
        let (_seat, left) =
            taken.map_err(|_| End::Return("an older connection of this sender is still busy"))?;
        let last = timeout(self.limits.store, self.doors.intake.last(&sender)).await;
        let last = last
            .map_err(|_| store("the store did not answer".into()))?
            .map_err(|refusal| store(refusal.to_string()))?;
        let ledger = Ledger::open(last, hello.next).map_err(|error| sequence(&error))?;
        self.say(Downward::Welcome(last)).await?;
        self.doors.intake.connected(&self.component, &hello.version, true);
        let end = self.serve(&sender, ledger, left).await;
        self.doors.intake.connected(&self.component, &hello.version, false);
        end
    }

    /// The certificate decides; a greeting that says otherwise comes from somewhere it should not.
    fn same(&self, hello: &Hello) -> Result<(), End> {
        if hello.component == self.component {
            return Ok(());
        }
        let text = format!(
            "you say you are {} (pod {} on {}), your certificate says {} (pod {} on {})",
            hello.component,
            hello.component.pod,
            hello.component.node,
            self.component,
            self.component.pod,
            self.component.node
        );
        Err(End::Refused(Why::Impostor, text))
    }

    async fn serve(
        &mut self,
        sender: &Sender,
        mut ledger: Ledger,
        left: oneshot::Receiver<()>,
    ) -> Result<End, End> {
        let mut resources = (self.doors.resources)(&self.component);
        resources.mark_changed();
        let mut pushed = BTreeMap::new();
        let end = sleep(self.limits.stream_life);
        tokio::pin!(end, left);
        loop {
            tokio::select! {
                _ = self.life.changed() => return Ok(End::Return("the controller is going away")),
                _ = &mut left => {
                    let text = "a newer connection of the same sender took its place";
                    return Err(End::Refused(Why::Superseded, text.into()));
                }
                () = &mut end => return Ok(End::Return("come back and show your certificate again")),
                Ok(()) = resources.changed() => {
                    let list = Arc::clone(&resources.borrow_and_update());
                    self.push(&list, &mut pushed).await?;
                }
                message = self.up.next() => match message {
                    None => return Ok(End::Left),
                    Some(message) => self.take(message, sender, &mut ledger).await?,
                },
            }
        }
    }

    /// Takes a message and what is ready behind it, and stores the reports among them together. What came before
    /// a bad message is stored and acknowledged before the bad one is refused.
    async fn take(
        &mut self,
        message: Result<proto::Up, Status>,
        sender: &Sender,
        ledger: &mut Ledger,
    ) -> Result<(), End> {
        let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(Some(message)));
        let mut seen = false;
        let mut refused = Ok(());
        while let Some(Some(message)) = next {
            let step = read(message).and_then(|(message, size)| {
                bytes += size;
                seen |= matches!(message, Upward::Numbered(_));
                self.sort(message, ledger)
            });
            match step {
                Ok(report) => batch.extend(report),
                Err(end) => {
                    refused = Err(end);
                    break;
                }
            }
            if batch.len() >= self.limits.batch || bytes >= BATCH_BYTES {
                break;
            }
            next = self.up.next().now_or_never();
        }
        if !batch.is_empty() {
            self.store(sender, batch).await?;
        }
        if let (true, Some(last)) = (seen, ledger.last()) {
            self.say(Downward::Stored(last)).await?;
        }
        refused
    }

    /// Gives back a report that is to be stored; the rest is dealt with at once.
    fn sort(&self, message: Upward, ledger: &mut Ledger) -> Result<Option<Numbered>, End> {
        match message {
            Upward::Hello(_) => Err(malformed("a second greeting".into())),
            Upward::Numbered(report) => ledger.admit(report).map_err(|error| sequence(&error)),
            Upward::Acknowledgement(acknowledgement) => {
                self.doors.intake.acknowledged(&self.component, acknowledgement);
                Ok(None)
            }
            Upward::Health(health) => {
                self.doors.intake.health(&self.component, health);
                Ok(None)
            }
        }
    }

    async fn store(&self, sender: &Sender, batch: Vec<Numbered>) -> Result<(), End> {
        for report in &batch {
            if let Report::Lost { from, to, why } = &report.report {
                tracing::warn!(component = %self.component, from, to, why, "Reports lost");
            }
        }
        match timeout(self.limits.store, self.doors.intake.store(sender, batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => Err(store(refusal.to_string())),
            Err(_) => Err(store("the store took too long".into())),
        }
    }

    /// Pushes what is new or newer than on this connection before.
    async fn push(&self, list: &[Resource], pushed: &mut BTreeMap<String, u64>) -> Result<(), End> {
        for resource in list {
            if pushed.get(&resource.name).is_some_and(|version| *version >= resource.version) {
                continue;
            }
            pushed.insert(resource.name.clone(), resource.version);
            if resource.body.len() > MAX_RESOURCE {
                let (name, size) = (&resource.name, resource.body.len());
                let text = format!("{name} of {size} bytes is larger than {MAX_RESOURCE} and was not pushed");
                let id = self.peer.id.clone().and_then(Result::ok);
                self.doors.sink.refused(Refused { address: self.peer.address, id, why: Why::Oversize, text });
                continue;
            }
            self.say(Downward::Resource(resource.clone())).await?;
        }
        Ok(())
    }

    async fn say(&self, message: Downward) -> Result<(), End> {
        match timeout(PATIENCE, self.down.send(Ok(message.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(silent("nothing was read for 10 s")),
        }
    }
}

fn read(message: Result<proto::Up, Status>) -> Result<(Upward, usize), End> {
    let message = match message {
        Ok(message) => message,
        // The transport's own limit; the body was not read.
        Err(status) if status.code() == Code::OutOfRange => {
            return Err(End::Refused(Why::Oversize, status.message().to_owned()));
        }
        Err(_) => return Err(End::Left),
    };
    let size = prost::Message::encoded_len(&message);
    match Upward::try_from(message) {
        Ok(message) => Ok((message, size)),
        Err(error @ Malformed::TooLarge { .. }) => Err(End::Refused(Why::Oversize, error.to_string())),
        Err(error) => Err(malformed(describe(&error))),
    }
}

fn malformed(text: String) -> End {
    End::Refused(Why::Malformed, text)
}

fn silent(text: &str) -> End {
    End::Refused(Why::Silent, text.to_owned())
}

fn store(text: String) -> End {
    End::Refused(Why::Store, text)
}

fn sequence(error: &SequenceError) -> End {
    let why = match error {
        SequenceError::Gap { .. } => Why::Gap,
        SequenceError::Stale { .. } => Why::Stale,
    };
    End::Refused(why, error.to_string())
}
