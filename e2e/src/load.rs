//! Requests at a fixed rate, timed from when each was due: a slow answer delays no other's clock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection is kept idle: less than servers do, as any client's pool.
const IDLE: Duration = Duration::from_secs(4);

/// Latencies of a load, sorted.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The latency below which this share of requests was answered, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// A small HTTP/1.1 GET over plain TCP; gives the body.
pub(crate) async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text.split_once("\r\n\r\n").context("no body")?.1.to_owned())
}

/// Sends the pod as an AdmissionReview `rate` times a second for `seconds` over kept connections.
pub(crate) async fn run(
    address: &str,
    certificate: &str,
    pod: serde_json::Value,
    rate: u64,
    seconds: u64,
) -> Result<Latencies> {
    let request = Arc::new(request(&pod));
    let idle = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..16 {
        idle.lock().await.push((Instant::now(), connect(address, certificate).await?));
    }
    let (sender, mut received) = mpsc::channel(4096);
    let begun = Instant::now();
    let count = rate * seconds;
    for number in 0..count {
        let due = begun + Duration::from_micros(number * 1_000_000 / rate);
        tokio::time::sleep_until(due).await;
        let (idle, request, sender) = (Arc::clone(&idle), Arc::clone(&request), sender.clone());
        let (address, certificate) = (address.to_owned(), certificate.to_owned());
        tokio::spawn(async move {
            let kept = idle.lock().await.pop();
            let answered = async {
                let mut stream = match kept {
                    Some((used, stream)) if used.elapsed() < IDLE => stream,
                    _ => connect(&address, &certificate).await?,
                };
                ask(&mut stream, &request).await?;
                idle.lock().await.push((Instant::now(), stream));
                anyhow::Ok(due.elapsed())
            };
            sender.send(answered.await).await.ok();
        });
    }
    drop(sender);
    let mut latencies = Vec::new();
    while let Some(latency) = received.recv().await {
        latencies.push(latency?);
    }
    ensure!(latencies.len() as u64 == count, "{} of {count} answered", latencies.len());
    latencies.sort_unstable();
    Ok(Latencies(latencies))
}

fn request(pod: &serde_json::Value) -> Vec<u8> {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "load", "operation": "CREATE", "name": "ledger", "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "load"}, "object": pod}})
    .to_string();
    let head = format!(
        "POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

async fn connect(address: &str, certificate: &str) -> Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let ip: std::net::SocketAddr = address.parse()?;
    let stream = TcpStream::connect(ip).await?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::from(ip.ip()), stream).await?)
}

/// One request on a kept connection; the answer must admit.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await?;
        ensure!(read > 0, "the webhook hung up");
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if body.len() >= length.context("an answer without a length")? {
            return match body.contains("\"allowed\":true") {
                true => Ok(()),
                false => bail!("not admitted: {body}"),
            };
        }
    }
}
