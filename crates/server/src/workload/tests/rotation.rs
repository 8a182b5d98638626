//! A new root, as workloads see it: by the public crates, unmodified.

use std::time::Duration;

use rustls::pki_types::ServerName;
use spiffe::X509Source;
use spiffe_rustls::{TlsStatus, authorizer, mtls_client, mtls_server};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// Signed by one, with the roots of all of these.
fn entitled(signer: &Authority, serial: u64, roots: &[&Authority]) -> Entitlement {
    let mut entitlement = entitlement(signer, serial);
    entitlement.bundle.roots = roots.iter().map(|root| root.der().to_vec()).collect();
    entitlement.bundle.sequence = serial;
    entitlement
}

#[tokio::test]
async fn an_open_stream_sees_the_old_root_both_and_the_new_one() {
    let house = House::open(Ok(()), Limits::default());
    let (old, new) = (&house.root, authority());
    let phases = [
        entitled(old, 2, &[old]),
        entitled(old, 3, &[old, &new]),
        entitled(&new, 4, &[&new, old]),
        entitled(&new, 5, &[&new]),
    ];
    house.entitle.send_replace(phases[0].clone());
    let client = house.client().await;
    let mut stream = client.stream_x509_contexts().await.expect("entitled");
    let mut bundles = client.stream_x509_bundles().await.expect("entitled");
    for (number, entitlement) in phases.iter().enumerate() {
        let context = stream.next().await.expect("the stream goes on").expect("valid");
        let leaf = context.default_svid().expect("one").leaf().as_bytes().to_vec();
        assert_eq!(leaf, entitlement.svids[0].chain[0]);
        let domain = "a.example".try_into().expect("domain");
        for set in [&**context.bundle_set(), &bundles.next().await.expect("goes on").expect("valid")] {
            let roots = set.get(&domain).expect("ours");
            let roots: Vec<Vec<u8>> =
                roots.authorities().iter().map(|root| root.as_bytes().to_vec()).collect();
            assert_eq!(roots, entitlement.bundle.roots);
        }
        if let Some(next) = phases.get(number + 1) {
            house.entitle.send_replace(next.clone());
        }
    }
    assert_eq!(house.refusals(), [""; 0]);
}

/// A workload that is server and client at once, on a node of its own.
struct Workload {
    house: House,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    statuses: [TlsStatus; 2],
}

impl Workload {
    async fn new(entitlement: Entitlement) -> Self {
        let house = House::open(Ok(()), Limits::default());
        house.entitle.send_replace(entitlement);
        let endpoint = format!("unix://{}", house.socket.display());
        let source = X509Source::builder().endpoint(endpoint).build().await.expect("entitled");
        let peer = || authorizer::exact([ID]).expect("id");
        let server = mtls_server(source.clone()).authorize(peer()).build_with_status().expect("config");
        let client = mtls_client(source).authorize(peer()).build_with_status().expect("config");
        let (acceptor, connector) = (Arc::new(server.0).into(), Arc::new(client.0).into());
        Self { house, acceptor, connector, statuses: [server.1, client.1] }
    }

    /// Hands it something new, and waits until it is what the next handshake takes.
    async fn take(&mut self, entitlement: &Entitlement) {
        let before = self.statuses.each_ref().map(|status| status.current().source_revision);
        self.house.entitle.send_replace(entitlement.clone());
        for (status, before) in self.statuses.iter_mut().zip(before) {
            let applied = async {
                loop {
                    let now = status.current();
                    if now.source_revision > before && now.applied_revision == now.source_revision {
                        break;
                    }
                    status.changed().await.expect("the watcher lives");
                }
            };
            tokio::time::timeout(Duration::from_secs(10), applied).await.expect("taken over");
        }
    }
}

async fn shake(client: &Workload, server: &Workload) -> Result<(), String> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("any.name").expect("name");
    let (connected, accepted) =
        tokio::join!(client.connector.connect(name, near), server.acceptor.accept(far));
    connected.map_err(|error| error.to_string())?;
    accepted.map(drop).map_err(|error| error.to_string())
}

async fn both_ways(one: &Workload, other: &Workload) -> Result<(), String> {
    for _ in 0..3 {
        shake(one, other).await?;
        shake(other, one).await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_peers_of_which_one_is_always_first_never_fail_a_handshake() {
    let (old, new) = (authority(), authority());
    let phases = [
        entitled(&old, 1, &[&old]),
        entitled(&old, 2, &[&old, &new]),
        entitled(&new, 3, &[&new, &old]),
        entitled(&new, 4, &[&new]),
    ];
    let mut first = Workload::new(phases[0].clone()).await;
    let mut second = Workload::new(phases[0].clone()).await;
    both_ways(&first, &second).await.expect("both in the beginning");
    for (number, phase) in phases.iter().enumerate().skip(1) {
        first.take(phase).await;
        both_ways(&first, &second).await.unwrap_or_else(|error| panic!("one is in phase {number}: {error}"));
        second.take(phase).await;
        both_ways(&first, &second).await.unwrap_or_else(|error| panic!("both in phase {number}: {error}"));
    }
    // What is left out at the end counts: neither the old root's leaf nor its bundle is worth anything now.
    second.take(&phases[0]).await;
    assert!(shake(&first, &second).await.is_err() && shake(&second, &first).await.is_err());
}
