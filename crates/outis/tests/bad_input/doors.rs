//! Doors that are taken, and callers that say what cannot be understood.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Config};
use outis_model::Timestamp;
use serde_json::{Value, json};
use tonic::Code;

use crate::house::node::{Node, ask};
use crate::house::{Running, eventually, free, outis};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn port_in_use() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("bound");
    let told = format!(
        "error: cannot listen on {address}; is another process using the port? (see `ss -ltnp`): Address already in use"
    );
    for (mode, doors) in [
        ("controller", &["link-address", "api-address", "health-address"][..]),
        ("webhook", &["address", "health-address", "canary-open-address", "canary-denied-address"]),
        ("agent", &["health-address"]),
        ("csi", &["health-address"]),
    ] {
        for taken in doors {
            let place = |door: &&str| match door == taken {
                true => format!("--{door}={address}"),
                false => format!("--{door}=127.0.0.1:0"),
            };
            let doors: Vec<String> = doors.iter().map(place).collect();
            let mut all = vec![mode];
            if matches!(mode, "agent" | "csi") {
                all.push("--node=n1");
            }
            all.extend(doors.iter().map(String::as_str));
            outis(&all).fails(2, &[&told]);
        }
    }
}

/// A webhook with one policy, and a client that believes it.
struct Webhook {
    running: Running,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Webhook {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().expect("dir");
        let name = "outis-webhook.outis-system.svc";
        let made =
            outis_identity::serving::create(&[name.to_owned()], Timestamp::now()).expect("a certificate");
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).expect("written");
        write("tls.crt", &made.chain);
        write("tls.key", made.key.reveal());
        write("policy.yaml", POLICY);
        let (address, health) = (free(), free());
        let folder = dir.path().to_str().expect("text");
        let running = Running::start(&[
            "webhook",
            "--controller=none",
            &format!("--address={address}"),
            &format!("--health-address={health}"),
            "--canary-open-address=127.0.0.1:0",
            "--canary-denied-address=127.0.0.1:0",
            &format!("--serving-dir={folder}"),
            &format!("--policy-dir={folder}"),
        ]);
        let mut config = Config::new(format!("https://{address}").parse().expect("a URI"));
        config.root_cert = Some(outis_identity::from_pem(made.root.as_bytes()).expect("PEM"));
        config.tls_server_name = Some(name.into());
        let client = Client::try_from(config).expect("a client");
        let webhook = Self { running, client, _dir: dir };
        webhook.running.says("Policies taken over").await;
        webhook.running.says("Serving certificate taken over").await;
        webhook
    }

    /// What it answers to a body.
    async fn post(&self, body: Vec<u8>) -> (StatusCode, Value) {
        let request = Request::post("/v1/admit").body(Body::from(body)).expect("a request");
        let response = self.client.send(request).await.expect("an answer");
        let code = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (code, serde_json::from_slice(&bytes).expect("JSON"))
    }

    /// It goes on judging.
    async fn judges(&mut self) {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u-1", "operation": "CREATE", "name": "web", "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "userInfo": {"username": "jo"},
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}}}});
        let (code, answer) = self.post(review.to_string().into_bytes()).await;
        assert_eq!((code, &answer["response"]["allowed"]), (StatusCode::OK, &json!(false)), "{answer}");
        assert!(self.running.runs());
        assert!(!self.running.log().contains("panicked"), "{}", self.running.log());
    }
}

const POLICY: &str = "apiVersion: outis.dev/v1alpha1
kind: AdmissionPolicy
metadata: {name: hardened}
spec: {mode: enforce, podSecurity: {level: baseline}}
";

#[tokio::test(flavor = "multi_thread")]
async fn webhook_body_over_the_limit() {
    let mut webhook = Webhook::start().await;
    let (code, problem) = webhook.post(vec![b' '; outis_server::webhook::BODY + 1]).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        problem["detail"],
        "the admission review is longer than the 8 MiB that are judged; split the object, or exclude its kind"
    );
    webhook.judges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_body_not_json() {
    let mut webhook = Webhook::start().await;
    for body in [&b"{"[..], b"", b"\xff\xfe", b"[[[["] {
        let (code, problem) = webhook.post(body.to_vec()).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{problem}");
        let told = problem["detail"].as_str().unwrap_or_default();
        assert!(told.starts_with("the body is not JSON ("), "{told}");
        assert!(
            told.ends_with("; send an admission.k8s.io/v1 AdmissionReview, as the API server does"),
            "{told}"
        );
    }
    // Deep enough to end a parser that goes down by recursion.
    let (code, _) = webhook.post(b"[".repeat(100_000)).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    webhook.judges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_client_without_the_spiffe_header() {
    let node = Node::new().await;
    let mut agent = Running::start(&node.agent());
    let told = eventually(SOON, "the agent answers", async || ask(&node.socket()).await).await;
    assert_eq!(told.code(), Code::InvalidArgument, "{told}");
    assert_eq!(
        told.message(),
        "a request needs the metadata workload.spiffe.io: true; SPIFFE libraries add it"
    );
    assert!(agent.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn second_agent_for_the_same_node() {
    let node = Node::new().await;
    let mut first = Running::start(&node.agent());
    eventually(SOON, "the first answers", async || ask(&node.socket()).await).await;
    let told = "error: another agent runs on node n1, and a node has one: end it, or end this one: cannot open the spool";
    outis(&node.agent()).fails(2, &[told, "is in use by another process"]);
    assert!(first.runs());
    assert!(ask(&node.socket()).await.is_some(), "the first one's socket is where it was");
}
