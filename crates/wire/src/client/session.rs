//! One connection, from Hello to its end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use outis_model::effect::Resource;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::info;

use super::Uplink;
use crate::MAX_REPORT;
use crate::error::{WireError, describe};
use crate::message::{Downward, Hello};
use crate::proto::{self, up};
use crate::spool::Entry;

/// Messages between us and the socket; the rest waits in the spool.
const QUEUE: usize = 16;
/// Read from the spool at once.
const ROWS: usize = 128;
const BYTES: usize = 1 << 20;
/// How long the controller may take to answer Hello: it reads its store.
const WELCOME: Duration = Duration::from_secs(40);

pub(super) struct Session<'a> {
    uplink: &'a mut Uplink,
    up: mpsc::Sender<proto::Up>,
    down: Streaming<proto::Down>,
    /// Next number to send.
    cursor: u64,
    queue: VecDeque<up::Message>,
}

impl<'a> Session<'a> {
    /// Runs until the connection ends; says why it did.
    pub(super) async fn run(uplink: &'a mut Uplink) -> WireError {
        let session = match Self::open(uplink).await {
            Ok(session) => session,
            Err(error) => return error,
        };
        match session.serve().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn open(uplink: &'a mut Uplink) -> Result<Self, WireError> {
        let mut client = uplink.parts.controller.link().await?;
        let (up, outbound) = mpsc::channel(QUEUE);
        let hello = hello(uplink).await?;
        let first = hello.first;
        // The queue is empty and its receiver is in this scope.
        let _ = up.try_send(up::Message::Hello(hello.into()).into());
        let address = uplink.parts.controller.address.clone();
        let late = || ended(&address, format!("no answer within {} s", WELCOME.as_secs()));
        let opened =
            timeout(WELCOME, client.attach(ReceiverStream::new(outbound))).await.map_err(|_| late())?;
        let down = opened.map_err(|status| ended(&address, said(&status)))?.into_inner();
        let mut session = Self { uplink, up, down, cursor: 0, queue: VecDeque::new() };
        match timeout(WELCOME, session.next()).await.map_err(|_| late())?? {
            Downward::Welcome(last) => session.welcome(first, last).await?,
            Downward::Refused { reason, text } => return Err(WireError::Refused { reason, text }),
            _ => return Err(ended(&address, "it did not answer our greeting".into())),
        }
        Ok(session)
    }

    /// Takes up where the controller's store ends. What it lacks and we no longer hold is declared.
    async fn welcome(&mut self, first: u64, last: Option<u64>) -> Result<(), WireError> {
        if let Some(last) = last {
            self.uplink.parts.outbox.ack(last).await?;
            self.cursor = last + 1;
        }
        if self.cursor < first {
            let why = "stored once; the controller's store no longer has them".into();
            self.queue.push_back(up::Message::Lost(proto::Lost { from: self.cursor, to: first - 1, why }));
            self.cursor = first;
        }
        self.uplink.up();
        Ok(())
    }

    async fn serve(mut self) -> Result<Infallible, WireError> {
        let mut heartbeat = interval(self.uplink.parts.heartbeat.max(Duration::from_millis(10)));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = self.uplink.parts.health.clone();
        health.mark_unchanged();
        let up = self.up.clone();
        loop {
            self.fill().await?;
            tokio::select! {
                down = self.down.message() => {
                    let down = self.read(down)?;
                    self.take(down).await?;
                }
                permit = up.reserve(), if !self.queue.is_empty() => match permit {
                    Ok(permit) => if let Some(message) = self.queue.pop_front() {
                        permit.send(message.into());
                    },
                    Err(_) => return Err(self.broken().await),
                },
                () = self.uplink.parts.outbox.rung(), if self.queue.is_empty() => {}
                _ = heartbeat.tick() => self.tell_health(),
                Ok(()) = health.changed() => self.tell_health(),
            }
        }
    }

    /// Reads on in the spool when everything read so far is on its way.
    async fn fill(&mut self) -> Result<(), WireError> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        for entry in self.uplink.parts.outbox.peek(self.cursor, ROWS, BYTES).await? {
            let (cursor, last) = (self.cursor, entry.last());
            self.queue.push_back(message(entry, cursor));
            self.cursor = last + 1;
        }
        Ok(())
    }

    async fn take(&mut self, down: Downward) -> Result<(), WireError> {
        match down {
            Downward::Stored(up_to) => {
                // A controller cannot have stored what was not sent.
                self.uplink.parts.outbox.ack(up_to.min(self.cursor.saturating_sub(1))).await?;
            }
            Downward::Resource(resource) => self.receive(resource).await,
            Downward::Refused { reason, text } => return Err(WireError::Refused { reason, text }),
            Downward::Welcome(_) => {}
        }
        Ok(())
    }

    async fn receive(&mut self, resource: Resource) {
        let (name, version) = (resource.name.clone(), resource.version);
        let error = self.uplink.parts.receive.receive(resource).await.err().unwrap_or_default();
        info!(resource = %name, version, error, "Resource received");
        self.queue.push_front(up::Message::Ack(proto::Ack { name, version, error }));
    }

    fn tell_health(&mut self) {
        let body = serde_json::to_vec(&*self.uplink.parts.health.borrow()).unwrap_or_default();
        let waits = matches!(self.queue.front(), Some(up::Message::Health(_)));
        if body.len() <= MAX_REPORT && !waits {
            self.queue.push_front(up::Message::Health(proto::Health { body }));
        }
    }

    async fn next(&mut self) -> Result<Downward, WireError> {
        let down = self.down.message().await;
        self.read(down)
    }

    fn read(&self, down: Result<Option<proto::Down>, tonic::Status>) -> Result<Downward, WireError> {
        let address = &self.uplink.parts.controller.address;
        match down {
            Ok(Some(down)) => Ok(down.try_into()?),
            Ok(None) => Err(ended(address, "it closed the stream".into())),
            Err(status) => Err(ended(address, said(&status))),
        }
    }

    /// Our half is closed: the other half knows why.
    async fn broken(&mut self) -> WireError {
        loop {
            match timeout(WELCOME, self.next()).await {
                Ok(Ok(Downward::Refused { reason, text })) => return WireError::Refused { reason, text },
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return ended(&self.uplink.parts.controller.address, "it stopped listening".into()),
            }
        }
    }
}

async fn hello(uplink: &Uplink) -> Result<Hello, WireError> {
    let parts = &uplink.parts;
    let next = parts.outbox.spool().next();
    let oldest = parts.outbox.peek(0, 1, 1).await?;
    Ok(Hello {
        component: parts.component.clone(),
        version: parts.version.clone(),
        spool: parts.outbox.spool().id(),
        // `next` was read first: a report pushed since may be the oldest.
        first: oldest.first().map_or(next, Entry::first).min(next),
        next,
    })
}

/// A row as a message; what is below `cursor` is under way already.
fn message(entry: Entry, cursor: u64) -> up::Message {
    match entry {
        Entry::Report { seq, bytes, .. } if bytes.len() > MAX_REPORT => {
            let why = format!("a report of {} bytes is larger than {MAX_REPORT}", bytes.len());
            up::Message::Lost(proto::Lost { from: seq, to: seq, why })
        }
        Entry::Report { seq, class, bytes } => {
            up::Message::Report(proto::Report { seq, class: proto::Class::from(class).into(), body: bytes })
        }
        Entry::Gap { from, to } => {
            let why = "the spool was full".into();
            up::Message::Lost(proto::Lost { from: from.max(cursor), to, why })
        }
    }
}

fn ended(address: &str, text: String) -> WireError {
    WireError::Ended { address: address.to_owned(), text }
}

fn said(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => format!("{}: {}", status.message(), describe(cause)),
        None => format!("{} ({:?})", status.message(), status.code()),
    }
}
