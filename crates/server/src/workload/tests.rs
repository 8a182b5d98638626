use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use outis_model::port::{Answer, Caller, Entitlement, Peer, Refusal, TrustBundle, Updates, X509Svid};
use outis_model::secret::Secret;
use outis_model::snapshot::Pod;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use spiffe::WorkloadApiClient;
use tokio::sync::{oneshot, watch};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::proto::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use super::*;

mod rotation;

const ID: &str = "spiffe://a.example/ns/shop/sa/backend";
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI("spiffe://a.example".try_into().expect("uri"))];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("root")
}

fn entitlement(root: &Authority, serial: u64) -> Entitlement {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial.into());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(ID.try_into().expect("uri"))];
    let leaf = params.signed_by(&key, root).expect("signed");
    let svid = X509Svid {
        id: ID.parse().expect("id"),
        chain: vec![leaf.der().to_vec()],
        key: Secret::new(key.serialize_der()),
        not_before: jiff::Timestamp::UNIX_EPOCH,
        not_after: jiff::Timestamp::MAX,
    };
    Entitlement { svids: vec![svid], bundle: bundle(root) }
}

fn bundle(root: &Authority) -> TrustBundle {
    TrustBundle {
        trust_domain: "a.example".parse().expect("domain"),
        roots: vec![root.der().to_vec()],
        sequence: 1,
    }
}

fn pod() -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "shop".parse().expect("ns"),
        name: "backend-1".parse().expect("name"),
        uid: "5f3d6a3e-1f52-4ef3-9e0f-0a7c6a4f0c11".parse().expect("uid"),
        config_hash: None,
        node: None,
        service_account: "backend".parse().expect("account"),
        addresses: vec![],
        host_network: false,
        labels: Default::default(),
        owner: None,
        containers: vec![],
        ready: true,
        ended: false,
    })
}

/// Answers what it was told to; checks that the peer is this process.
struct Double {
    answer: Mutex<Result<(), Refusal>>,
    entitlements: watch::Receiver<Entitlement>,
    refused: Mutex<Vec<Refused>>,
}

impl Attest for Double {
    fn attest<'a>(&'a self, peer: &'a Peer) -> Answer<'a, Result<Caller, Refusal>> {
        assert_eq!(peer.pid, std::process::id());
        assert!(peer.pidfd.is_some());
        let answer = self.answer.lock().expect("lock").clone();
        Box::pin(std::future::ready(answer.map(|()| Caller { pod: pod(), container: None })))
    }
}

impl Identities for Double {
    fn identities(&self, _: &Caller) -> Updates<Result<Entitlement, Refusal>> {
        Box::pin(tokio_stream::wrappers::WatchStream::new(self.entitlements.clone()).map(Ok))
    }
    fn bundles(&self, _: &Caller) -> Updates<Result<TrustBundle, Refusal>> {
        Box::pin(
            tokio_stream::wrappers::WatchStream::new(self.entitlements.clone()).map(|held| Ok(held.bundle)),
        )
    }
}

impl Sink for Double {
    fn refused(&self, refused: Refused) {
        self.refused.lock().expect("lock").push(refused);
    }
}

struct House {
    root: Authority,
    double: Arc<Double>,
    entitle: watch::Sender<Entitlement>,
    socket: PathBuf,
    close: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    _bound: Bound,
    _dir: tempfile::TempDir,
}

impl House {
    fn open(answer: Result<(), Refusal>, limits: Limits) -> Self {
        let root = authority();
        let (entitle, entitlements) = watch::channel(entitlement(&root, 1));
        let double = Arc::new(Double { answer: Mutex::new(answer), entitlements, refused: Mutex::default() });
        let dir = tempfile::tempdir().expect("dir");
        let socket = dir.path().join("api.sock");
        let (listener, bound) = bind(&socket).expect("new");
        let doors = Doors { attest: double.clone(), identities: double.clone(), sink: double.clone() };
        let (close, closed) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, limits, doors, async move { drop(closed.await) }));
        Self { root, double, entitle, socket, close: Some(close), served, _bound: bound, _dir: dir }
    }

    async fn client(&self) -> WorkloadApiClient {
        let endpoint = format!("unix://{}", self.socket.display());
        WorkloadApiClient::connect_to(endpoint).await.expect("connected")
    }

    fn refusals(&self) -> Vec<String> {
        self.double.refused.lock().expect("lock").iter().map(|refused| refused.text.clone()).collect()
    }
}

async fn raw(socket: &Path) -> SpiffeWorkloadApiClient<Channel> {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move {
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(
                tokio::net::UnixStream::connect(socket).await?,
            ))
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    SpiffeWorkloadApiClient::new(endpoint.connect_with_connector(connect).await.expect("connected"))
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(HEADER, "true".parse().expect("ascii"));
    request
}

#[tokio::test]
async fn a_workload_reads_its_svid_and_bundle() {
    let house = House::open(Ok(()), Limits::default());
    let client = house.client().await;
    let svid = client.fetch_x509_svid().await.expect("entitled");
    assert_eq!(svid.spiffe_id().to_string(), ID);
    let sent = house.entitle.borrow().svids[0].chain[0].clone();
    assert_eq!(svid.leaf().as_bytes(), &sent[..]);
    let bundles = client.fetch_x509_bundles().await.expect("entitled");
    let bundle = bundles.get(&"a.example".try_into().expect("domain")).expect("ours");
    assert_eq!(bundle.authorities()[0].as_bytes(), &house.root.der()[..]);
    assert_eq!(house.refusals(), [""; 0]);
}

#[tokio::test]
async fn three_rotations_reach_an_open_stream() {
    let house = House::open(Ok(()), Limits::default());
    let client = house.client().await;
    let mut stream = client.stream_x509_contexts().await.expect("entitled");
    for serial in 1..=4 {
        let context = stream.next().await.expect("open").expect("valid");
        let seen = context.default_svid().expect("one").leaf().as_bytes().to_vec();
        assert_eq!(seen, house.entitle.borrow().svids[0].chain[0], "rotation {serial}");
        house.entitle.send_replace(entitlement(&house.root, serial + 1));
    }
}

#[tokio::test]
async fn a_process_without_identity_is_denied_and_told() {
    let denied = Refusal::Denied("this process belongs to no pod of this node".into());
    let house = House::open(Err(denied), Limits::default());
    let status =
        raw(&house.socket).await.fetch_x509svid(with_header(Default::default())).await.expect_err("denied");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(house.refusals(), ["this process belongs to no pod of this node"]);
    let error = house.client().await.fetch_x509_svid().await.expect_err("denied");
    assert!(format!("{error:?}").contains("PermissionDenied"), "{error:?}");
    *house.double.answer.lock().expect("lock") = Err(Refusal::Unavailable("the pod is not known yet".into()));
    let status = raw(&house.socket)
        .await
        .fetch_x509svid(with_header(Default::default()))
        .await
        .expect_err("too early");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the pod is not known yet"));
}

#[tokio::test]
async fn a_request_without_the_header_is_invalid() {
    let house = House::open(Ok(()), Limits::default());
    let mut client = raw(&house.socket).await;
    let status = client.fetch_x509svid(super::proto::X509svidRequest {}).await.expect_err("no header");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("workload.spiffe.io: true"), "{}", status.message());
    assert_eq!(house.refusals().len(), 1);
}

#[tokio::test]
async fn what_is_missing_says_so() {
    let house = House::open(Ok(()), Limits::default());
    let mut client = raw(&house.socket).await;
    let jwt = client.fetch_jwtsvid(with_header(Default::default())).await.expect_err("not there");
    let wit = client.fetch_wit_bundles(with_header(Default::default())).await.expect_err("not there");
    assert_eq!((jwt.code(), wit.code()), (Code::Unimplemented, Code::Unimplemented));
    assert!(jwt.message().contains("use X.509-SVIDs"), "{}", jwt.message());
}

#[tokio::test]
async fn a_pod_has_only_so_many_connections() {
    let house = House::open(Ok(()), Limits { per_pod: 2, ..Limits::default() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = raw(&house.socket).await;
        let mut stream =
            client.fetch_x509svid(with_header(Default::default())).await.expect("room").into_inner();
        stream.next().await.expect("open").expect("svid");
        held.push((client, stream));
    }
    let third = house.client().await.fetch_x509_svid().await;
    third.expect_err("no room");
    assert!(house.refusals().iter().any(|text| text.contains("may have no more")), "{:?}", house.refusals());
}

#[tokio::test]
async fn streams_end_when_the_server_does() {
    let mut house = House::open(Ok(()), Limits::default());
    let mut client = raw(&house.socket).await;
    let mut stream =
        client.fetch_x509svid(with_header(Default::default())).await.expect("entitled").into_inner();
    stream.next().await.expect("open").expect("svid");
    drop(house.close.take());
    assert!(stream.next().await.is_none_or(|end| end.is_err()));
    drop((stream, client));
    house.served.await.expect("no panic").expect("clean");
}
