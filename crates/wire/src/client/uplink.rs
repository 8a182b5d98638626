//! The link that is always there or on its way back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outis_model::input::{Component, Health};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::session::Session;
use super::{Controller, Receive};
use crate::backoff::Backoff;
use crate::error::{WireError, describe};
use crate::outbox::Outbox;

/// A link that was up for so long was a good one: the next is tried at once.
const STEADY: Duration = Duration::from_secs(10);

/// What an uplink is made of.
pub struct UplinkParts {
    /// Where to.
    pub controller: Controller,
    /// Who we are, as our certificate says.
    pub component: Component,
    /// Version of our binary.
    pub version: String,
    /// What is to be sent.
    pub outbox: Outbox,
    /// Who takes what is pushed.
    pub receive: Arc<dyn Receive>,
    /// Sent at once, on each change, and every `heartbeat`.
    pub health: watch::Receiver<Health>,
    /// How often the controller hears of us when there is nothing to say.
    pub heartbeat: Duration,
    /// Waits between attempts.
    pub backoff: Backoff,
}

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Not yet tried.
    Starting,
    /// Welcomed by the controller.
    Up,
    /// Not connected.
    Away {
        /// Attempts since the link was up.
        tries: u32,
        /// What the last one met.
        why: String,
    },
}

/// Sends what is in the outbox, in order, until it is stored; takes what is pushed.
pub struct Uplink {
    pub(super) parts: UplinkParts,
    pub(super) state: watch::Sender<LinkState>,
    /// When the link came up, while it is.
    since: Option<Instant>,
}

impl Uplink {
    /// Connects when run.
    #[must_use]
    pub fn new(parts: UplinkParts) -> Self {
        Self { parts, state: watch::Sender::new(LinkState::Starting), since: None }
    }

    /// How the link is, now and whenever that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Keeps the link up until `shutdown`. No failure ends it: what cannot be sent stays in the spool.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let ended = tokio::select! {
                () = &mut shutdown => return,
                ended = Session::run(&mut self) => ended,
            };
            let wait = self.away(&ended);
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    pub(super) fn up(&mut self) {
        self.since = Some(Instant::now());
        self.state.send_replace(LinkState::Up);
        info!(controller = %self.parts.controller.address, "Link up");
    }

    fn away(&mut self, error: &WireError) -> Duration {
        // A controller that takes us in and turns us out again must not be asked at the pace of a good one.
        if self.since.take().is_some_and(|since| since.elapsed() >= STEADY) {
            self.parts.backoff.reset();
        }
        let wait = match error {
            WireError::Refused { reason, .. } if reason != "superseded" && reason != "store" => {
                self.parts.backoff.refused()
            }
            _ => self.parts.backoff.fail(),
        };
        let why = describe(error);
        warn!(controller = %self.parts.controller.address, why, ?wait, "Link away");
        self.state.send_replace(LinkState::Away { tries: self.parts.backoff.failures(), why });
        wait
    }
}
