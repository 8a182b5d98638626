//! The controller's API for people, for `outis events`, `why`, `status`, `log` and `identity`.
//!
//! Reached through the API server's service proxy, which takes the caller's credentials off before
//! it forwards. So the caller proves who they are by a key whose public half they put into a
//! CertificateSigningRequest: the API server stamps that object with the user it authenticated, and
//! nobody else can write the stamp. See `proof`.
//!
//! Who may read what: a record of a namespace is for those who may read its pods' logs, a record of
//! no namespace for those who may do so in all of them. Nothing is filtered silently: a namespace
//! the caller may not read is refused by name.
//!
//! One thing can be changed here: `POST /v1/identity/rotate`, for those with a right of its own.

pub mod proof;
mod rotate;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use outis_model::name::Namespace;
use outis_model::port::{Answer, Refusal, Updates};
use outis_model::record::{Logged, RecordId, RecordKind};
use outis_model::{Timestamp, review::User};
pub use rotate::{Orders, Rotate, Rotating};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::Problem;

/// Records one answer holds at most.
pub const PAGE: usize = 1000;
/// A watched stream says so at least this often, so that proxies keep it and clients see it live.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Filter {
    /// Only of this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Only of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<RecordKind>,
    /// Not older than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// From this position in the log on; for `log` exports and for paging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The newest so many; at most, and by default, `PAGE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Go on with what happens from now on.
    pub watch: bool,
}

impl Filter {
    /// Whether a record passes, position and limit apart.
    #[must_use]
    pub fn takes(&self, logged: &Logged) -> bool {
        let record = &logged.record;
        self.namespace.as_ref().is_none_or(|ns| record.subject.namespace.as_ref() == Some(ns))
            && self.kind.is_none_or(|kind| record.kind == kind)
            && self.since.is_none_or(|since| record.time >= since)
    }
}

/// What the API reads from (answered by the controller's wiring).
pub trait Library: Send + Sync {
    /// One record.
    fn record(&self, id: RecordId) -> Answer<'_, Result<Option<Logged>, Refusal>>;
    /// Records in log order, at most `filter.limit`.
    fn range(&self, filter: Filter) -> Answer<'_, Result<Vec<Logged>, Refusal>>;
    /// What is logged from now on. An `Err` names how many the reader was too slow for.
    fn tail(&self) -> Updates<Result<Logged, u64>>;
    /// The log's lines as they are chained on disk, from a position on, at most `PAGE`.
    fn export(&self, from: u64) -> Answer<'_, Result<Vec<Value>, Refusal>>;
    /// The state of the whole appliance.
    fn status(&self) -> Answer<'_, Value>;
    /// Whether the user may read the records of a namespace, or of all (`None`).
    fn may_read(&self, user: User, namespace: Option<Namespace>) -> Answer<'_, Result<bool, Refusal>>;
}

/// Tells who sent a request (answered by the controller's wiring, with `proof::check`).
pub trait Authenticate: Send + Sync {
    /// The user behind a proof.
    fn user(&self, proof: proof::Signed) -> Answer<'_, Result<User, Refusal>>;
}

#[derive(Clone)]
struct Shared {
    library: Arc<dyn Library>,
    door: Arc<dyn Authenticate>,
    orders: Arc<dyn Orders>,
}

/// The API's routes.
pub fn router(library: Arc<dyn Library>, door: Arc<dyn Authenticate>, orders: Arc<dyn Orders>) -> Router {
    let shared = Shared { library, door, orders };
    Router::new()
        .route("/v1/events", get(events))
        .route("/v1/records/{id}", get(record))
        .route("/v1/status", get(status))
        .route("/v1/log", get(export))
        .route("/v1/identity/rotate", post(rotate::rotate))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), authenticate))
        .with_state(shared)
}

async fn authenticate(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let signed = match proof::read(request.method().as_str(), target, request.headers()) {
        Ok(signed) => signed,
        Err(error) => {
            return Problem::new(StatusCode::UNAUTHORIZED, "NoProof", error.to_string()).into_response();
        }
    };
    match shared.door.user(signed).await {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(Refusal::Unavailable(why)) => Problem::from(Refusal::Unavailable(why)).into_response(),
        Err(refusal) => {
            Problem::new(StatusCode::UNAUTHORIZED, "ProofRefused", refusal.to_string()).into_response()
        }
    }
}

impl Shared {
    async fn allow(&self, user: &User, namespace: Option<Namespace>) -> Result<(), Problem> {
        if self.library.may_read(user.clone(), namespace.clone()).await? {
            return Ok(());
        }
        let what = match namespace {
            Some(ns) => format!("the records of namespace {ns}; that takes `get pods/log` there"),
            None => "the records of all namespaces; name one with -n, or have `get pods/log` in all".into(),
        };
        let detail = format!("{} may not read {what}", user.username);
        Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail))
    }
}

async fn events(
    State(shared): State<Shared>,
    Extension(user): Extension<User>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    shared.allow(&user, filter.namespace.clone()).await?;
    let limit = filter.limit.unwrap_or(PAGE).min(PAGE);
    // The tail begins before the past is read: nothing falls between the two.
    let tail = filter.watch.then(|| shared.library.tail());
    let past = shared.library.range(Filter { limit: Some(limit), ..filter.clone() }).await?;
    let next = past.last().map_or(0, |logged| logged.seq + 1);
    let lines = futures::stream::iter(past.into_iter().map(|logged| line(&logged)));
    let Some(tail) = tail else { return Ok(streamed(lines)) };
    let live = tail.filter_map(move |item| {
        let text = match item {
            Ok(logged) if logged.seq < next || !filter.takes(&logged) => None,
            Ok(logged) => Some(line(&logged)),
            Err(missed) => Some(format!("{{\"missed\":{missed}}}\n")),
        };
        std::future::ready(text)
    });
    Ok(streamed(lines.chain(with_heartbeat(live))))
}

/// An empty line whenever nothing happened for `HEARTBEAT`.
fn with_heartbeat(
    live: impl futures::Stream<Item = String> + Send + 'static,
) -> impl futures::Stream<Item = String> + Send {
    let live = Box::pin(live);
    futures::stream::unfold(live, |mut live| async move {
        match tokio::time::timeout(HEARTBEAT, live.next()).await {
            Ok(Some(text)) => Some((text, live)),
            Ok(None) => None,
            Err(_) => Some(("\n".to_owned(), live)),
        }
    })
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("records are JSON");
    text.push('\n');
    text
}

fn streamed(lines: impl futures::Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(lines.map(|text| Ok::<_, Infallible>(Bytes::from(text))));
    ([(http::header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn record(
    State(shared): State<Shared>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: RecordId = id.parse().map_err(|error: outis_model::record::RecordIdError| {
        Problem::new(StatusCode::BAD_REQUEST, "NotAnId", error.to_string())
    })?;
    let found = shared.library.record(id).await?;
    // Absent and forbidden look the same: an id must not tell that a foreign record exists.
    let hidden = Problem::new(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("no record {id} that {} may read; `outis events` lists those there are", user.username),
    );
    let Some(logged) = found else { return Err(hidden) };
    let namespace = logged.record.subject.namespace.clone();
    match shared.library.may_read(user, namespace).await? {
        true => Ok(Json(logged).into_response()),
        false => Err(hidden),
    }
}

async fn status(State(shared): State<Shared>, Extension(user): Extension<User>) -> Result<Response, Problem> {
    shared.allow(&user, None).await?;
    Ok(Json(shared.library.status().await).into_response())
}

async fn export(
    State(shared): State<Shared>,
    Extension(user): Extension<User>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    shared.allow(&user, None).await?;
    let lines = shared.library.export(filter.from.unwrap_or(0)).await?;
    Ok(streamed(futures::stream::iter(lines.into_iter().map(|value| line(&value)))))
}

#[cfg(test)]
mod tests;
