//! Reaching the API server, with errors that say what to do.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No kubeconfig and no pod to be in.
    #[error("no cluster to talk to: there is no kubeconfig and this is no pod; name one with --kubeconfig")]
    Nowhere(#[source] Box<kube::config::InClusterError>),
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {}; name another with --kubeconfig or in KUBECONFIG", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig {} {lack}; it has {known}: choose one with --context", path.display())]
    Context {
        /// Which file.
        path: PathBuf,
        /// What it lacks.
        lack: String,
        /// The contexts there are.
        known: String,
    },
    /// The client cannot be made of this configuration.
    #[error("cannot make a client for {server}")]
    Make {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nobody answers.
    #[error(
        "cannot reach the API server at {server}; is the cluster up, and if a NetworkPolicy selects this pod, \
         does it allow egress to it?"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It does not know us.
    #[error(
        "the API server at {server} does not accept these credentials; log in again, or use another --context"
    )]
    Unauthorized {
        /// The server.
        server: String,
    },
    /// It knows us and says no.
    #[error("the API server at {server} refuses: {message}")]
    Refused {
        /// The server.
        server: String,
        /// Its words.
        message: String,
    },
}

impl ClientError {
    /// Whether what was named is wrong, rather than what it leads to.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Nowhere(_) | Self::Kubeconfig { .. } | Self::Context { .. })
    }
}

/// A client for the kubeconfig given, for the default one, or for the pod we are in. The server is asked
/// once for its version.
///
/// # Errors
/// Each way of not getting there by its own name.
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, ClientError> {
    let config = config(kubeconfig, context).await?;
    let server = config.cluster_url.to_string();
    let made = Client::try_from(config);
    let client =
        made.map_err(|error| ClientError::Make { server: server.clone(), source: Box::new(error) })?;
    match client.apiserver_version().await {
        Ok(_) => Ok(client),
        Err(kube::Error::Api(status)) if status.code == 401 => Err(ClientError::Unauthorized { server }),
        // Whoever may not even ask for the version may still be allowed what they came for.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(client),
        Err(kube::Error::Api(status)) => {
            Err(ClientError::Refused { server, message: status.message.clone() })
        }
        Err(error) => Err(ClientError::Unreachable { server, source: Box::new(error) }),
    }
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ClientError> {
    let files = kubeconfig.map_or_else(usual, |file| vec![file.to_owned()]);
    let [first, ..] = files.as_slice() else {
        return Config::incluster().map_err(|error| ClientError::Nowhere(Box::new(error)));
    };
    let read = read(&files)?;
    known(first, &read, context)?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let made = Config::from_custom_kubeconfig(read, &options).await;
    made.map_err(|error| ClientError::Kubeconfig { path: first.clone(), source: Box::new(error) })
}

/// Where kubectl looks: at the files of KUBECONFIG, else at the one in the home directory if it is there.
fn usual() -> Vec<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let named: Vec<PathBuf> =
        std::env::split_paths(&named).filter(|file| !file.as_os_str().is_empty()).collect();
    match named.is_empty() {
        true => std::env::home_dir()
            .map(|home| home.join(".kube/config"))
            .into_iter()
            .filter(|file| file.exists())
            .collect(),
        false => named,
    }
}

/// The files as one. Of several, those that are not there are passed over, as kubectl does.
fn read(files: &[PathBuf]) -> Result<Kubeconfig, ClientError> {
    let mut there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    if there.is_empty() {
        there.extend(files);
    }
    there.into_iter().try_fold(Kubeconfig::default(), |merged, file| {
        let next = Kubeconfig::read_from(file).and_then(|next| merged.merge(next));
        next.map_err(|error| ClientError::Kubeconfig { path: file.clone(), source: Box::new(error) })
    })
}

/// Refuses a context the kubeconfig does not have, and says which it has.
fn known(path: &Path, read: &Kubeconfig, context: Option<&str>) -> Result<(), ClientError> {
    let names: Vec<&str> = read.contexts.iter().map(|context| context.name.as_str()).collect();
    let wanted = context.or(read.current_context.as_deref()).unwrap_or_default();
    if names.contains(&wanted) {
        return Ok(());
    }
    Err(ClientError::Context {
        path: path.to_owned(),
        lack: match wanted {
            "" => "names no current context".into(),
            name => format!("has no context {name:?}"),
        },
        known: if names.is_empty() { "none at all".into() } else { names.join(", ") },
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
        file(&format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
             users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             current-context: x\n"
        ))
    }

    /// An API server that answers everything with one status.
    async fn answering(code: u16) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let body = format!(
                    r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"x","code":{code}}}"#
                );
                let head = format!(
                    "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        format!("http://{address}")
    }

    async fn refused(path: &Path, context: Option<&str>) -> ClientError {
        rustls_provider();
        client(Some(path), context).await.err().expect("no client")
    }

    fn rustls_provider() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }

    #[tokio::test]
    async fn a_missing_or_broken_kubeconfig_is_named() {
        let told = refused(Path::new("/nowhere/config"), None).await;
        assert!(
            told.to_string().starts_with("cannot use the kubeconfig /nowhere/config; name another"),
            "{told}"
        );
        assert!(told.is_usage());
        let broken = file("clusters: [");
        assert!(matches!(refused(broken.path(), None).await, ClientError::Kubeconfig { .. }));
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named_beside_those_that_are() {
        let sound = kubeconfig("http://127.0.0.1:1");
        let told = refused(sound.path(), Some("other")).await.to_string();
        assert!(told.ends_with("has no context \"other\"; it has x: choose one with --context"), "{told}");
        let empty = file("apiVersion: v1\nkind: Config\n");
        let told = refused(empty.path(), None).await.to_string();
        assert!(told.contains("names no current context; it has none at all"), "{told}");
    }

    #[test]
    fn of_several_files_those_that_are_there_are_read() {
        let (sound, missing) = (kubeconfig("http://127.0.0.1:1"), PathBuf::from("/nowhere/config"));
        let merged = read(&[missing.clone(), sound.path().to_owned()]).expect("one is there");
        assert_eq!(merged.current_context.as_deref(), Some("x"));
        assert!(read(&[missing.clone(), missing]).is_err(), "none is there");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let config = kubeconfig("http://127.0.0.1:1");
        let told = refused(config.path(), None).await.to_string();
        assert!(told.starts_with("cannot reach the API server at http://127.0.0.1:1"), "{told}");
    }

    #[tokio::test]
    async fn foreign_credentials_are_told_apart_from_a_failing_server() {
        let config = kubeconfig(&answering(401).await);
        assert!(matches!(refused(config.path(), None).await, ClientError::Unauthorized { .. }));
        let config = kubeconfig(&answering(500).await);
        assert!(matches!(refused(config.path(), None).await, ClientError::Refused { .. }));
        let config = kubeconfig(&answering(403).await);
        rustls_provider();
        assert!(client(Some(config.path()), None).await.is_ok(), "may do other things");
    }
}
