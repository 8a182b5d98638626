//! Errors over HTTP as problem bodies (RFC 9457), in one place.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use outis_model::port::Refusal;
use serde::{Deserialize, Serialize};

/// A problem body: what went wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// CamelCase code, stable.
    pub title: String,
    /// The sentence.
    pub detail: String,
}

impl Problem {
    /// A problem with its status, code and sentence.
    pub fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), title: title.into(), detail: detail.into() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, title) = match refusal {
            Refusal::Denied(_) => (StatusCode::FORBIDDEN, "Denied"),
            Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
            Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "Invalid"),
        };
        Self::new(status, title, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
