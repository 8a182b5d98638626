//! Connections: accepted, named, counted per pod.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use outis_model::name::PodUid;
use outis_model::port::Peer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};
use tonic::transport::server::Connected;

use super::{Doors, Limits, Refused};
use crate::peer;
use crate::unix::Relaxed;

/// Connections that wait to be served.
const QUEUE: usize = 16;

/// Whom a connection belongs to; every request on it carries this.
pub(super) struct Caller {
    pub(super) peer: Peer,
    /// A question was answered: the connection may stay.
    pub(super) known: AtomicBool,
}

/// A connection. Its places are free again when it is dropped.
pub(super) struct Connection {
    stream: Relaxed<UnixStream>,
    caller: Arc<Caller>,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
    _of_pod: Option<OfPod>,
}

type Counts = Arc<Mutex<HashMap<PodUid, usize>>>;

/// One of a pod's places.
struct OfPod {
    counts: Counts,
    pod: PodUid,
}

struct Porter {
    doors: Doors,
    per_pod: usize,
    attest: Duration,
    silent: Duration,
    places: Arc<Semaphore>,
    counts: Counts,
    ready: mpsc::Sender<io::Result<Connection>>,
}

/// Accepts until `life` ends.
pub(super) fn connections(
    listener: UnixListener,
    limits: &Limits,
    doors: &Doors,
    mut life: watch::Receiver<()>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(QUEUE);
    let porter = Arc::new(Porter {
        doors: doors.clone(),
        per_pod: limits.per_pod,
        attest: limits.attest,
        silent: limits.silent,
        places: Arc::new(Semaphore::new(limits.connections)),
        counts: Counts::default(),
        ready,
    });
    let strangers = Arc::new(Semaphore::new(limits.strangers));
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                _ = life.changed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => porter.meet(stream, &strangers),
                Err(error) => {
                    tracing::warn!(%error, "Cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    connections
}

impl Porter {
    /// Names the peer at once - the sooner after `accept`, the better - and the rest beside the loop.
    fn meet(self: &Arc<Self>, stream: UnixStream, strangers: &Arc<Semaphore>) {
        let peer = match peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => return self.refuse(0, None, error.to_string()),
        };
        match Arc::clone(strangers).try_acquire_owned() {
            Ok(place) => drop(tokio::spawn(Arc::clone(self).admit(stream, peer, place))),
            Err(_) => self.refuse(peer.pid, None, "too many connections whose pod is not known".into()),
        }
    }

    /// A peer that belongs to no pod is let in for a moment, to be told so at its first question.
    async fn admit(self: Arc<Self>, stream: UnixStream, peer: Peer, place: OwnedSemaphorePermit) {
        let attested = timeout(self.attest, self.doors.attest.attest(&peer)).await;
        let (place, of_pod) = match attested {
            Ok(Ok(caller)) => {
                let pod = format!("{}/{}", caller.pod.namespace, caller.pod.name);
                let Some(of_pod) = OfPod::take(&self.counts, &caller.pod.uid, self.per_pod) else {
                    let text = format!("the pod has {} connections, and may have no more", self.per_pod);
                    return self.refuse(peer.pid, Some(pod), text);
                };
                match Arc::clone(&self.places).try_acquire_owned() {
                    Ok(place) => (place, Some(of_pod)),
                    Err(_) => return self.refuse(peer.pid, Some(pod), "too many connections".into()),
                }
            }
            _ => (place, None),
        };
        let caller = Arc::new(Caller { peer, known: AtomicBool::new(false) });
        let end = Box::pin(sleep(self.silent));
        let stream = Relaxed::new(stream);
        // The receiver is gone when the server is.
        let _ = self.ready.send(Ok(Connection { stream, caller, end, _place: place, _of_pod: of_pod })).await;
    }

    fn refuse(&self, pid: u32, pod: Option<String>, text: String) {
        self.doors.sink.refused(Refused { pid, pod, text });
    }
}

impl OfPod {
    fn take(counts: &Counts, pod: &PodUid, most: usize) -> Option<Self> {
        let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(pod.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { counts: Arc::clone(counts), pod: pod.clone() })
    }
}

impl Drop for OfPod {
    fn drop(&mut self) {
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.pod) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.pod);
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Caller>;
    fn connect_info(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A stranger that keeps asking is not silent, but is still a stranger: it may stay as long.
        if self.end.as_mut().poll(cx).is_ready() && !self.caller.known.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
