//! The sample shop: five small servers that speak one line per question.
//!
//! frontend (HTTP) -> gateway (lines) -> backend (lines over mTLS) -> database (lines)
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rustls::pki_types::ServerName;
use spiffe::X509Source;
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// One server of the sample shop, or one of its tools.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// HTTP in, one line out.
    Frontend(Serve),
    /// Lines in, lines over mTLS out.
    Gateway(Serve),
    /// Lines over mTLS in (from the gateway's identity alone), lines out.
    Backend(Serve),
    /// Knows the prices.
    Database(Listen),
    /// Buys, twice a second.
    Shopper {
        /// The frontend, as `host:port`.
        #[arg(long)]
        upstream: String,
    },
    /// Prints the identity of this pod as JSON.
    Identity,
    /// Waits for rotations, shaking hands with the backend after each; prints them as JSON.
    Rotations {
        /// How many.
        #[arg(long, default_value_t = 3)]
        count: u32,
        /// The backend, as `host:port`.
        #[arg(long)]
        upstream: String,
        /// The backend's identity.
        #[arg(long)]
        peer: String,
    },
    /// Knocks at an mTLS server with a certificate of nobody's; exits 0 when it is refused.
    Foreign {
        /// The server, as `host:port`.
        #[arg(long)]
        upstream: String,
    },
}

#[derive(clap::Args)]
struct Listen {
    /// Where to listen.
    #[arg(long, default_value = "[::]:8080")]
    listen: String,
}

#[derive(clap::Args)]
struct Serve {
    #[command(flatten)]
    listen: Listen,
    /// The next server, as `host:port`.
    #[arg(long)]
    upstream: String,
    /// The identity the mTLS peer must have.
    #[arg(long, default_value = "")]
    peer: String,
}

/// The longest line and the longest wait for one.
const LINE: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("a TLS provider is set")?;
    match Arguments::parse().role {
        Role::Frontend(serve) => frontend(serve).await,
        Role::Gateway(serve) => gateway(serve).await,
        Role::Backend(serve) => backend(serve).await,
        Role::Database(listen) => database(listen).await,
        Role::Shopper { upstream } => shopper(&upstream).await,
        Role::Identity => identity().await,
        Role::Rotations { count, upstream, peer } => rotations(count, &upstream, &peer).await,
        Role::Foreign { upstream } => foreign(&upstream).await,
    }
}

async fn frontend(serve: Serve) -> Result<()> {
    let upstream: Arc<str> = serve.upstream.into();
    each_connection(&serve.listen, move |stream| {
        let upstream = Arc::clone(&upstream);
        async move {
            let mut stream = BufReader::new(stream);
            let request = read_line(&mut stream).await?;
            let item = request.split(' ').nth(1).and_then(|path| path.strip_prefix("/buy/"));
            let (status, answer) = match item {
                Some(item) => match ask(connect(&upstream).await?, &format!("buy {item}")).await {
                    Ok(answer) => ("200 OK", answer),
                    Err(error) => ("502 Bad Gateway", format!("{error:#}")),
                },
                None => ("200 OK", "the shop is open; GET /buy/ITEM".into()),
            };
            let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", answer.len() + 1);
            stream.write_all(format!("{head}{answer}\n").as_bytes()).await?;
            Ok(stream.shutdown().await?)
        }
    })
    .await
}

async fn gateway(serve: Serve) -> Result<()> {
    let connector = TlsConnector::from(Arc::new(client(&serve.peer).await?));
    let upstream: Arc<str> = serve.upstream.into();
    each_connection(&serve.listen, move |stream| {
        let (upstream, connector) = (Arc::clone(&upstream), connector.clone());
        async move {
            let (stream, line) = question(stream).await?;
            let answer = async {
                let item = line.strip_prefix("buy ").context("only `buy ITEM` is understood")?;
                ask(secured(&connector, &upstream).await?, &format!("price {item}")).await
            };
            reply(stream, answer.await).await
        }
    })
    .await
}

async fn backend(serve: Serve) -> Result<()> {
    let source = X509Source::new().await.context("no identity from the Workload API")?;
    let config = mtls_server(source).authorize(authorizer::exact([serve.peer.as_str()])?).build()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let upstream: Arc<str> = serve.upstream.into();
    each_connection(&serve.listen, move |stream| {
        let (upstream, acceptor) = (Arc::clone(&upstream), acceptor.clone());
        async move {
            let stream = tokio::time::timeout(PATIENCE, acceptor.accept(stream))
                .await?
                .context("handshake refused")?;
            let (stream, line) = question(stream).await?;
            let answer = async {
                let item = line.strip_prefix("price ").context("only `price ITEM` is understood")?;
                ask(connect(&upstream).await?, &format!("get {item}")).await
            };
            reply(stream, answer.await).await
        }
    })
    .await
}

async fn database(listen: Listen) -> Result<()> {
    each_connection(&listen, |stream| async move {
        let (stream, line) = question(stream).await?;
        let item = line.strip_prefix("get ").context("only `get ITEM` is understood");
        reply(stream, item.map(|item| format!("{item} costs {} drachmas", item.len() * 7))).await
    })
    .await
}

async fn shopper(upstream: &str) -> Result<()> {
    let (mut bought, mut failed) = (0u64, 0u64);
    loop {
        match tokio::time::timeout(PATIENCE, buy(upstream)).await {
            Ok(Ok(())) => bought += 1,
            Ok(Err(error)) => {
                failed += 1;
                eprintln!("failed: {error:#}");
            }
            Err(_) => failed += 1,
        }
        println!("bought {bought} failed {failed}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn buy(upstream: &str) -> Result<()> {
    let mut stream = BufReader::new(connect(upstream).await?);
    stream.write_all(b"GET /buy/teapot HTTP/1.0\r\n\r\n").await?;
    let status = read_line(&mut stream).await?;
    if !status.contains(" 200 ") {
        bail!("{status}");
    }
    Ok(())
}

async fn identity() -> Result<()> {
    let source = X509Source::new().await.context("no identity from the Workload API")?;
    let svid = source.svid()?;
    let chain: Vec<Vec<u8>> = svid.cert_chain().iter().map(|cert| cert.as_bytes().to_vec()).collect();
    let bundles: Vec<Vec<u8>> = source
        .bundle_set()?
        .iter()
        .flat_map(|(_, bundle)| {
            bundle.authorities().iter().map(|cert| cert.as_bytes().to_vec()).collect::<Vec<_>>()
        })
        .collect();
    let id = svid.spiffe_id().to_string();
    println!("{}", serde_json::json!({"id": id, "chain": chain, "bundle": bundles}));
    Ok(())
}

async fn rotations(count: u32, upstream: &str, peer: &str) -> Result<()> {
    let source = X509Source::new().await.context("no identity from the Workload API")?;
    let mut updates = source.updated();
    let mut seen = vec![source.svid()?.cert_chain()[0].as_bytes().to_vec()];
    let config = mtls_client(source.clone()).authorize(authorizer::exact([peer])?).build()?;
    let connector = TlsConnector::from(Arc::new(config));
    let (mut handshakes, mut failures) = (0u32, Vec::new());
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    while seen.len() <= count as usize {
        tokio::select! {
            changed = updates.changed() => {
                changed?;
                let leaf = source.svid()?.cert_chain()[0].as_bytes().to_vec();
                if seen.last() != Some(&leaf) {
                    seen.push(leaf);
                }
            }
            _ = beat.tick() => {
                handshakes += 1;
                let shaken = async { ask(secured(&connector, upstream).await?, "price rotation").await };
                if let Err(error) = shaken.await {
                    failures.push(format!("{error:#}"));
                }
            }
        }
    }
    println!(
        "{}",
        serde_json::json!({"rotations": seen.len() - 1, "handshakes": handshakes, "failures": failures})
    );
    Ok(())
}

async fn foreign(upstream: &str) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["spiffe.invalid".into()])?;
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_auth_cert(vec![made.cert.der().clone()], key)?;
    let connector = TlsConnector::from(Arc::new(config));
    // TLS 1.3 tells the client of a refusal with the first read. Anything but the server's own alert is no refusal:
    // it may be away, or have let us in and failed afterwards.
    match async { ask(secured(&connector, upstream).await?, "price foreign").await }.await {
        Err(error) if format!("{error:#}").contains("received fatal alert") => println!("refused: {error:#}"),
        Ok(answer) => bail!("not refused: {answer}"),
        Err(error) => bail!("not refused, but {error:#}"),
    }
    Ok(())
}

/// Takes any server: it is the server's refusal that is looked for.
#[derive(Debug)]
struct Anyone;

mod anyone {
    use super::Anyone;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}

async fn client(peer: &str) -> Result<rustls::ClientConfig> {
    let source = X509Source::new().await.context("no identity from the Workload API")?;
    Ok(mtls_client(source).authorize(authorizer::exact([peer])?).build()?)
}

async fn secured(
    connector: &TlsConnector,
    upstream: &str,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let name = ServerName::try_from("backend.shop.svc").expect("a DNS name");
    connector.connect(name, connect(upstream).await?).await.with_context(|| format!("no TLS with {upstream}"))
}

async fn connect(upstream: &str) -> Result<TcpStream> {
    let connecting = TcpStream::connect(upstream);
    tokio::time::timeout(PATIENCE, connecting)
        .await
        .with_context(|| format!("{upstream} does not answer"))?
        .with_context(|| format!("cannot connect to {upstream}"))
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, question: &str) -> Result<String> {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let answer =
        tokio::time::timeout(PATIENCE, read_line(&mut stream)).await.context("no answer in time")??;
    match answer.strip_prefix("error ") {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

async fn question<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<(BufReader<S>, String)> {
    let mut stream = BufReader::new(stream);
    let line =
        tokio::time::timeout(PATIENCE, read_line(&mut stream)).await.context("no question in time")??;
    Ok((stream, line))
}

async fn reply(mut stream: impl AsyncWrite + Unpin, answer: Result<String>) -> Result<()> {
    let answer = answer.unwrap_or_else(|error| format!("error {error:#}"));
    stream.write_all(format!("{answer}\n").as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

async fn read_line(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<String> {
    use tokio::io::AsyncReadExt;
    let mut line = String::new();
    stream.take(LINE).read_line(&mut line).await?;
    if !line.ends_with('\n') {
        bail!("the other end hung up");
    }
    Ok(line.trim_end().to_owned())
}

async fn each_connection<F>(listen: &Listen, handle: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(&listen.listen)
        .await
        .with_context(|| format!("cannot listen on {}", listen.listen))?;
    println!("open on {}", listen.listen);
    loop {
        let (stream, from) = listener.accept().await?;
        let handled = handle(stream);
        tokio::spawn(async move {
            if let Err(error) = handled.await {
                eprintln!("{from}: {error:#}");
            }
        });
    }
}
