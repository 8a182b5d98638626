//! An API server, as far as a command asks one: what is there, who may see it, and whether anybody tried to change it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// Whether the user may do anything at all.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rights {
    All,
    None,
}

#[derive(Clone)]
struct Shelf {
    rights: Rights,
    lists: Arc<BTreeMap<&'static str, Vec<Value>>>,
    changes: Arc<Mutex<Vec<String>>>,
}

/// The server, and a kubeconfig that leads to it.
pub(crate) struct Api {
    shelf: Shelf,
    kubeconfig: NamedTempFile,
}

impl Api {
    /// Serves these lists by their paths; everything else is not there.
    pub(crate) async fn serve(rights: Rights, lists: &[(&'static str, Vec<Value>)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let lists = Arc::new(lists.iter().cloned().collect());
        let shelf = Shelf { rights, lists, changes: Arc::default() };
        let router = Router::new().fallback(answer).with_state(shelf.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shelf, kubeconfig: kubeconfig(&format!("http://{address}")) }
    }

    /// The kubeconfig's path.
    pub(crate) fn kubeconfig(&self) -> &str {
        self.kubeconfig.path().to_str().expect("text")
    }

    /// What anybody tried to change.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.shelf.changes.lock().expect("lock").clone()
    }
}

/// A kubeconfig with one context, `dev`.
pub(crate) fn kubeconfig(server: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("file");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "dev",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "jo", "user": {"token": "t"}}],
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "jo"}}]});
    std::fs::write(file.path(), text.to_string()).expect("written");
    file
}

async fn answer(State(shelf): State<Shelf>, method: Method, uri: Uri, body: String) -> Response {
    let path = uri.path();
    let found = match path.rsplit('/').next().unwrap_or_default() {
        "version" => Some(version()),
        "selfsubjectaccessreviews" => Some(may(shelf.rights, &body)),
        "selfsubjectreviews" => {
            Some(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
            "metadata": {}, "status": {"userInfo": {"username": "jo", "uid": "u-1"}}}))
        }
        _ => None,
    };
    if let Some(found) = found {
        return json_of(StatusCode::OK, &found);
    }
    if method != Method::GET {
        shelf.changes.lock().expect("lock").push(format!("{method} {path}"));
    }
    if shelf.rights == Rights::None {
        let text = format!("{path} is forbidden: User \"jo\" cannot {method} it at the cluster scope");
        return failure(StatusCode::FORBIDDEN, "Forbidden", &text);
    }
    match shelf.lists.get(path) {
        // Nothing changes while the test looks.
        Some(_) if uri.query().is_some_and(|query| query.contains("watch=")) => {
            Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>()).into_response()
        }
        Some(items) if method == Method::GET => {
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
            json_of(StatusCode::OK, &list)
        }
        _ => failure(StatusCode::NOT_FOUND, "NotFound", &format!("there is no {path}")),
    }
}

fn version() -> Value {
    let keys = ["buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"];
    let empty = keys.into_iter().map(|key| (key.to_owned(), json!("")));
    let told = [("major", "1"), ("minor", "36"), ("gitVersion", "v1.36.3")];
    empty
        .chain(told.map(|(key, value)| (key.to_owned(), json!(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn may(rights: Rights, asked: &str) -> Value {
    let mut review: Value = serde_json::from_str(asked).expect("a review");
    review["status"] = json!({"allowed": rights == Rights::All});
    review
}

fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    json_of(code, &body)
}

fn json_of(code: StatusCode, body: &Value) -> Response {
    (code, [(http::header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
