//! `POST /v1/admit`: one AdmissionReview in, one out (`admission.k8s.io/v1`).

pub mod envelope;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use outis_model::port::{Answer, Refusal};
use outis_model::review::Review;

use crate::problem::Problem;

/// The longest body taken: two objects at the API server's own limit of 3 MiB, and change.
pub const BODY: usize = 8 << 20;

/// What to tell the API server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admitted {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The refusal, when it may not.
    pub message: String,
    /// Warnings for the user, 4,096 characters in all.
    pub warnings: Vec<String>,
    /// For the API server's audit log; keys without prefix.
    pub annotations: BTreeMap<String, String>,
}

/// Judges requests (answered by the webhook's wiring).
pub trait Admit: Send + Sync {
    /// The verdict. `Unavailable` becomes a 503, and the API server does what the failure policy says.
    fn admit(&self, review: Review) -> Answer<'_, Result<Admitted, Refusal>>;
}

/// The webhook's routes.
pub fn router(admit: Arc<dyn Admit>) -> Router {
    Router::new().route("/v1/admit", post(handle)).with_state(admit)
}

async fn handle(State(admit): State<Arc<dyn Admit>>, body: Body) -> Response {
    let bytes = match read(body).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let review = match envelope::read(&bytes) {
        Ok(review) => review,
        Err(error) => {
            return Problem::new(StatusCode::BAD_REQUEST, "NotAnAdmissionReview", error.to_string())
                .into_response();
        }
    };
    let uid = review.uid.clone();
    match admit.admit(review).await {
        Ok(admitted) => {
            ([(header::CONTENT_TYPE, "application/json")], envelope::write(&uid, &admitted)).into_response()
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            format!(
                "the admission review is longer than the {} MiB that are judged; split the object, or exclude its kind",
                BODY >> 20
            ),
        )),
        Err(error) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "BodyUnreadable",
            format!("cannot read the body: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests;
