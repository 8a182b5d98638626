//! One ring, read by one worker.

use std::collections::VecDeque;
use std::time::Instant;
use std::{fmt, io};

use aya::maps::{MapData, RingBuf};
use outis_model::event::{Event, Exec, What};
use tokio::io::unix::AsyncFd;

use super::RingError;
use crate::attribution::Attribution;
use crate::decode::{Clock, DecodeError, Decoded, arguments, decode};

/// Records taken at once, so that a worker gets to what it read.
const BATCH: usize = 1024;

/// A record as the kernel wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub(super) bytes: Box<[u8]>,
    /// For a process that ran before us: its arguments.
    pub(super) seen: Option<Box<[u8]>>,
}

impl Raw {
    /// A record that was kept, as if it came from the kernel.
    #[must_use]
    pub fn recorded(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), seen: None }
    }

    /// The record's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One of the sensor's rings: all records of the thread groups whose id falls to it, in order.
pub struct Ring {
    index: u32,
    source: Source,
    seen: VecDeque<Raw>,
    clock: Clock,
    damaged: u64,
}

/// Waiting needs a runtime, which the one who starts the sensor may not have yet.
enum Source {
    Idle(Option<RingBuf<MapData>>),
    Waited(AsyncFd<RingBuf<MapData>>),
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(index: u32, buffer: RingBuf<MapData>) -> Self {
        Self {
            index,
            source: Source::Idle(Some(buffer)),
            seen: VecDeque::new(),
            clock: Clock::now(),
            damaged: 0,
        }
    }

    pub(super) fn add_seen(&mut self, raw: Raw) {
        self.seen.push_back(raw);
    }

    /// Which ring this is.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Waits until there is something, then takes what is there, 1024 records at most, and appends it.
    /// The processes that ran before us come first. Nothing is lost when the wait is cancelled.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub async fn next_batch(&mut self, batch: &mut Vec<Raw>) -> Result<(), RingError> {
        self.clock = Clock::now();
        if !self.seen.is_empty() {
            let some = self.seen.len().min(BATCH);
            batch.extend(self.seen.drain(..some));
            return Ok(());
        }
        let failed = |index| move |source| RingError::Wait { index, source };
        if let Source::Idle(buffer) = &mut self.source {
            let Some(buffer) = buffer.take() else { return Ok(()) };
            self.source = Source::Waited(wait_for(buffer).map_err(failed(self.index))?);
        }
        let Source::Waited(waited) = &mut self.source else { return Ok(()) };
        loop {
            if take(waited.get_mut(), batch) > 0 {
                self.clock = Clock::now();
                return Ok(());
            }
            let mut ready = waited.readable_mut().await.map_err(failed(self.index))?;
            // A record may have come between the last look and now; it is told before the next wait.
            ready.clear_ready();
            if take(ready.get_inner_mut(), batch) > 0 {
                self.clock = Clock::now();
                return Ok(());
            }
        }
    }

    /// Waits until there are events that can be told with their place, and appends them. Between calls
    /// nothing is placed or released, so a worker calls it again as soon as it can; cancelling it loses
    /// nothing.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub async fn events(
        &mut self,
        attribution: &mut Attribution,
        ready: &mut Vec<Event>,
    ) -> Result<(), RingError> {
        let before = ready.len();
        let mut batch = Vec::new();
        while ready.len() == before {
            let due = attribution.due();
            tokio::select! {
                read = self.next_batch(&mut batch) => read?,
                () = attribution.changed() => {}
                () = until(due) => {}
            }
            let now = Instant::now();
            for raw in batch.drain(..) {
                match self.decode(&raw) {
                    Ok(decoded) => attribution.take(decoded, now, ready),
                    Err(error) => {
                        self.damaged += 1;
                        tracing::warn!(ring = self.index, %error, "Record refused");
                    }
                }
            }
            attribution.release(now, ready);
        }
        Ok(())
    }

    /// Records that could not be decoded; programs and binary are not of one build then.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Decodes a record of this ring.
    ///
    /// # Errors
    /// When it is damaged; what follows it is not affected.
    pub fn decode(&self, raw: &Raw) -> Result<Decoded, DecodeError> {
        let mut decoded = decode(&raw.bytes, &self.clock)?;
        if let Some(args) = &raw.seen
            && let What::Exec(exec) = decoded.event.what
        {
            decoded.event.what = What::Seen(Box::new(Exec { args: arguments(args), ..*exec }));
        }
        Ok(decoded)
    }
}

/// Waits for an instant; for ever when there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[expect(unsafe_code, reason = "the runtime asks for a promise about the descriptor")]
fn wait_for(buffer: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: the buffer owns its map's descriptor, gives out the same one as long as it lives, and
    // closes it only when dropped, which the `AsyncFd` does after taking it off the reactor.
    unsafe { AsyncFd::register(buffer) }.map_err(io::Error::from)
}

/// Copies out what is there: a record may be overwritten once it is released.
fn take(buffer: &mut RingBuf<MapData>, batch: &mut Vec<Raw>) -> usize {
    let mut taken = 0;
    while taken < BATCH {
        let Some(record) = buffer.next() else { break };
        batch.push(Raw { bytes: (*record).into(), seen: None });
        taken += 1;
    }
    taken
}
