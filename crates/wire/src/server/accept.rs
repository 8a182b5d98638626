//! Connections: accepted, bounded, hand-shaken, named.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outis_model::spiffe::SpiffeId;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{Doors, Limits, Refused, Why};
use crate::error::describe;

/// Hand-shaken connections that wait to be served.
const QUEUE: usize = 16;

/// Whom a connection belongs to; every request on it carries this.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// `None`: it showed no certificate. `Err`: it showed one that cannot be read.
    pub(super) id: Option<Result<SpiffeId, String>>,
}

/// A connection. Its place is free again when it is dropped.
pub(super) struct Connection {
    tls: TlsStream<TcpStream>,
    peer: Arc<Peer>,
    /// When a stranger has to leave.
    end: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

struct Porter {
    acceptor: TlsAcceptor,
    doors: Doors,
    components: Arc<Semaphore>,
    handshake: Duration,
    stranger_life: Duration,
    ready: mpsc::Sender<io::Result<Connection>>,
}

/// Accepts until `life` ends.
pub(super) fn connections(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: &Limits,
    doors: &Doors,
    mut life: watch::Receiver<()>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let mut tls = ServerConfig::clone(&tls);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (ready, connections) = mpsc::channel(QUEUE);
    let porter = Arc::new(Porter {
        acceptor: TlsAcceptor::from(Arc::new(tls)),
        doors: doors.clone(),
        components: Arc::new(Semaphore::new(limits.components)),
        handshake: limits.handshake,
        stranger_life: limits.stranger_life,
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
                Ok((tcp, address)) => match Arc::clone(&strangers).try_acquire_owned() {
                    Ok(place) => drop(tokio::spawn(Arc::clone(&porter).admit(tcp, address, place))),
                    Err(_) => porter.refuse(
                        address,
                        Why::TooMany,
                        "too many connections without a certificate".into(),
                    ),
                },
                // Out of file descriptors, for example: others may leave meanwhile.
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
    async fn admit(self: Arc<Self>, tcp: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        let _ = tcp.set_nodelay(true);
        let tls = match timeout(self.handshake, self.acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return self.refuse(address, why(&error), describe(&error)),
            Err(_) => return self.refuse(address, Why::Handshake, "the handshake took too long".into()),
        };
        let id = match tls.get_ref().1.peer_certificates() {
            None | Some([]) => None,
            Some(chain) => Some((self.doors.identify)(chain)),
        };
        let (end, place) = match &id {
            None => (Some(Box::pin(sleep(self.stranger_life))), place),
            Some(_) => match Arc::clone(&self.components).try_acquire_owned() {
                Ok(place) => (None, place),
                Err(_) => return self.refuse(address, Why::TooMany, "too many connected components".into()),
            },
        };
        let peer = Arc::new(Peer { address, id });
        // The receiver is gone when the server is.
        let _ = self.ready.send(Ok(Connection { tls, peer, end, _place: place })).await;
    }

    fn refuse(&self, address: SocketAddr, why: Why, text: String) {
        self.doors.sink.refused(Refused { address, id: None, why, text });
    }
}

fn why(error: &io::Error) -> Why {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Why::ForeignCertificate,
        Some(rustls::Error::NoCertificatesPresented) => Why::NoCertificate,
        _ => Why::Handshake,
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;
    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.tls).poll_read(cx, buf))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
