//! Accepting connections: with or without TLS, bounded, drained at the end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Connections one door holds at a time; more wait in the kernel's backlog.
pub const CONNECTIONS: usize = 512;
/// What a handshake, or the head of a request, may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// What requests in flight get to finish after shutdown began.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Counts of one door.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Handshakes that failed or took too long.
    pub refused: AtomicU64,
}

/// A door: where it listens and how it speaks.
pub struct Door {
    /// For the log.
    pub name: &'static str,
    /// Bound already, so that a port in use is told before anything starts.
    pub listener: TcpListener,
    /// With TLS, unless this is the health port.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Counts, shared with whoever prints them.
    pub counts: Arc<Counts>,
}

/// Why a door could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; is another process using the port? (see `ss -ltnp`)")]
pub struct BindError {
    address: String,
    #[source]
    source: std::io::Error,
}

/// Binds a TCP port on all addresses of both families, or on the one given.
///
/// # Errors
/// The port is in use, or we may not have it.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address: address.into(), source })
}

impl Door {
    /// Serves until `shutdown` is done, then lets requests in flight finish for `DRAIN`.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, for instance: waiting beats spinning.
                    warn!(door = self.name, %error, "Accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            self.counts.accepted.fetch_add(1, Ordering::Relaxed);
            let connection = Connection {
                name: self.name,
                tls: self.tls.clone(),
                counts: Arc::clone(&self.counts),
                router: router.clone(),
                watcher: graceful.watcher(),
            };
            tokio::spawn(async move {
                connection.run(stream).await;
                drop(slot);
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

struct Connection {
    name: &'static str,
    tls: Option<Arc<rustls::ServerConfig>>,
    counts: Arc<Counts>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some(config) = self.tls.clone() else { return self.speak(stream).await };
        let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
        match tokio::time::timeout(PATIENCE, handshake).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => self.refused(&error.to_string()),
            Err(_) => self.refused("the handshake took too long"),
        }
    }

    fn refused(&self, why: &str) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        debug!(door = self.name, why, "Handshake refused");
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).keep_alive_interval(Some(DRAIN));
        let service = TowerToHyperService::new(self.router);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = self.watcher.watch(connection).await {
            debug!(door = self.name, %error, "Connection ended early");
        }
    }
}
