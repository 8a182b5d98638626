//! Questions to the controller, through the API server's service proxy. Who asks is proved by a key whose public
//! half lies in a CertificateSigningRequest the API server stamped; the key is kept for most of an hour, so that
//! not each command leaves such an object behind.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use http::Method;
use kube::Client;
use outis_identity::Key;
use outis_model::{Namespace, Timestamp};
use outis_server::query::proof::{HEADER, SIGNER, header, message};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arguments::Cluster;

/// How long an answer may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);
/// How long a key is used, in seconds: the controller takes it for an hour.
const LIFE: i64 = 3000;

/// Asks on behalf of the kubeconfig's user.
pub(super) struct Asker {
    client: Client,
    home: Namespace,
    proof: Option<Proof>,
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Proof {
    csr: String,
    /// PKCS#8, DER.
    key: Vec<u8>,
    made: i64,
}

impl Asker {
    /// For a cluster.
    pub(super) async fn new(cluster: &Cluster) -> Result<Self> {
        let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
        let file = remembered(&client).await;
        let proof = file.as_ref().and_then(|file| serde_json::from_slice(&std::fs::read(file).ok()?).ok());
        let young = |proof: &Proof| Timestamp::now().as_second() - proof.made < LIFE;
        Ok(Self { client, home: cluster.system_namespace.clone(), proof: proof.filter(young), file })
    }

    /// The whole answer.
    pub(super) async fn text(&mut self, target: &str) -> Result<String> {
        self.answer(Method::GET, target).await
    }

    /// What came of something we want changed, as JSON.
    pub(super) async fn post<T: DeserializeOwned>(&mut self, target: &str) -> Result<T> {
        read(&self.answer(Method::POST, target).await?)
    }

    async fn answer(&mut self, method: Method, target: &str) -> Result<String> {
        let request = self.request(method.clone(), target).await?;
        match self.within(self.client.request_text(request)).await? {
            Ok(text) => Ok(text),
            // The cluster may have been made anew, or the request cleaned away: once more with a new key.
            Err(kube::Error::Api(status)) if status.code == 401 && self.proof.take().is_some() => {
                let request = self.request(method, target).await?;
                self.within(self.client.request_text(request)).await?.map_err(|error| self.told(error))
            }
            Err(error) => Err(self.told(error)),
        }
    }

    /// The client goes on asking for minutes while nobody stands behind the Service; people do not.
    async fn within<T>(&self, asked: impl Future<Output = T>) -> Result<T> {
        let late = || {
            let home = &self.home;
            format!("the controller does not answer; `kubectl -n {home} get pods` shows why")
        };
        tokio::time::timeout(PATIENCE, asked).await.with_context(late)
    }

    /// The answer as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, target: &str) -> Result<T> {
        read(&self.text(target).await?)
    }

    /// The answer line by line, for as long as it goes on.
    pub(super) async fn lines(
        &mut self,
        target: &str,
    ) -> Result<impl futures::Stream<Item = io::Result<String>> + use<>> {
        // Whether the key is still taken is found out by a question that ends.
        self.text(&target.replace("watch=true", "watch=false")).await?;
        let request = self.request(Method::GET, target).await?;
        let stream = self.client.request_stream(request).await.map_err(|error| self.told(error))?;
        Ok(lines(stream))
    }

    async fn request(&mut self, method: Method, target: &str) -> Result<http::Request<Vec<u8>>> {
        let proof = match &self.proof {
            Some(proof) => proof,
            None => self.prove().await?,
        };
        let now = Timestamp::now().as_millisecond();
        let signature =
            Key::from_pkcs8(&proof.key)?.sign(message(method.as_str(), target, now).as_bytes())?;
        let value = header(&proof.csr, now, &STANDARD.encode(signature));
        let uri =
            format!("/api/v1/namespaces/{}/services/https:outis-controller:api/proxy{target}", self.home);
        http::Request::builder()
            .method(method)
            .uri(uri)
            .header(HEADER, value)
            .body(Vec::new())
            .context("the question makes no request")
    }

    async fn prove(&mut self) -> Result<&Proof> {
        let key = Key::generate()?;
        let request = outis_identity::request_to_pem(&key.request("outis-user")?);
        let csr = outis_cluster::review::stamp(&self.client, SIGNER, &request).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 403 => anyhow::anyhow!(
                "you may not ask Outis: {}; an administrator can let a group by `outis install --users GROUP`, or bind \
                 you to ClusterRole and Role outis-user",
                status.message
            ),
            error => anyhow::Error::new(error).context("cannot prove who asks"),
        })?;
        let proof = Proof { csr, key: key.pkcs8().into_inner(), made: Timestamp::now().as_second() };
        if let Some(file) = &self.file {
            keep(file, &proof);
        }
        Ok(self.proof.insert(proof))
    }

    fn told(&self, error: kube::Error) -> anyhow::Error {
        let home = &self.home;
        match error {
            kube::Error::Api(status)
                if status.code == 404
                    && status.message.contains("services \"https:outis-controller:api\"") =>
            {
                anyhow::anyhow!(
                    "Outis is not installed in namespace {home}: there is no Service outis-controller"
                )
            }
            kube::Error::Api(status) if status.code == 503 => anyhow::anyhow!(
                "the controller does not answer: {}; `kubectl -n {home} get pods` shows why",
                status.message
            ),
            kube::Error::Api(status) => anyhow::anyhow!(detail(&status.message)),
            error => anyhow::Error::new(error).context("cannot ask the controller"),
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("the controller's answer is not what this version expects")
}

/// Problem bodies arrive as the message of a status.
fn detail(message: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(message).ok();
    let told = problem.and_then(|problem| problem["detail"].as_str().map(str::to_owned));
    told.unwrap_or_else(|| message.to_owned())
}

fn lines(stream: impl AsyncBufRead + Send + 'static) -> impl futures::Stream<Item = io::Result<String>> {
    Box::pin(stream).lines().filter(|line| {
        let empty = line.as_ref().is_ok_and(|line| line.trim().is_empty());
        std::future::ready(!empty)
    })
}

/// Where this user's key for this cluster is kept; nowhere without a home.
async fn remembered(client: &Client) -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let who = who(client).await.ok()?;
    Some(base.join("outis").join(format!("proof-{who}.json")))
}

/// A name for the user on this cluster: another user or another cluster must not take the same key.
async fn who(client: &Client) -> Result<String> {
    use k8s_openapi::api::authentication::v1::SelfSubjectReview;
    use kube::api::{Api, PostParams};
    let review = Api::<SelfSubjectReview>::all(client.clone());
    let review = review.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let Some(user) = review.status.and_then(|status| status.user_info) else {
        bail!("the API server does not say who we are")
    };
    let cluster =
        outis_cluster::install::home(client, "kube-system").await.ok().flatten().unwrap_or_default();
    let name = format!("{cluster}/{}/{}", user.username.unwrap_or_default(), user.uid.unwrap_or_default());
    // Not a secret and not security: only a file name without strange characters.
    Ok(name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
    .map(|hash| format!("{hash:016x}"))
}

/// A key that cannot be kept is made anew next time.
fn keep(file: &PathBuf, proof: &Proof) {
    use std::os::unix::fs::OpenOptionsExt;
    let Some(dir) = file.parent() else { return };
    let _ = std::fs::create_dir_all(dir);
    let mut options = std::fs::OpenOptions::new();
    if let (Ok(mut open), Ok(bytes)) =
        (options.write(true).create(true).truncate(true).mode(0o600).open(file), serde_json::to_vec(proof))
    {
        let _ = io::Write::write_all(&mut open, &bytes);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_problem_is_told_by_its_sentence() {
        let body =
            r#"{"status":403,"title":"Forbidden","detail":"jo may not read the records of all namespaces"}"#;
        assert_eq!(super::detail(body), "jo may not read the records of all namespaces");
        assert_eq!(super::detail("plain"), "plain");
    }
}
