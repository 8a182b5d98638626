//! A node without pods, and who asks its agent.

use std::path::{Path, PathBuf};

use super::api::{Api, Rights};

/// What an agent of the node needs.
pub(crate) struct Node {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    _api: Api,
}

impl Node {
    pub(crate) async fn new() -> Self {
        let lists = [("/api/v1/pods", vec![]), ("/apis/outis.dev/v1alpha1/detectionrules", vec![])];
        let (api, dir) = (Api::serve(Rights::All, &lists).await, tempfile::tempdir().expect("dir"));
        let place = |flag: &str, name: &str| format!("--{flag}={}", dir.path().join(name).display());
        let arguments = vec![
            "agent".into(),
            "--node=n1".into(),
            "--controller=none".into(),
            "--health-address=127.0.0.1:0".into(),
            format!("--kubeconfig={}", api.kubeconfig()),
            place("socket-dir", "run"),
            place("state-dir", "state"),
            place("alerts-file", "alerts"),
        ];
        Self { dir, arguments, _api: api }
    }

    /// Arguments of its agent.
    pub(crate) fn agent(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Where its Workload API is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("run/workload.sock")
    }
}

/// Asks a Workload API for an identity, without the metadata that says a workload asks; what it answers, if it does.
pub(crate) async fn ask(socket: &Path) -> Option<tonic::Status> {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move {
            let stream = tokio::net::UnixStream::connect(socket).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
    let mut door = tonic::client::Grpc::new(endpoint.connect_with_connector(connect).await.ok()?);
    door.ready().await.ok()?;
    let method = http::uri::PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchX509SVID");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    door.server_streaming(tonic::Request::new(()), method, codec).await.err()
}
