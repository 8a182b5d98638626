//! The JSON envelope of an AdmissionReview, translated at this one border.

use std::sync::Arc;

use outis_model::review::{GroupVersionKind, GroupVersionResource, Operation, Review, User};
use serde_json::{Value, json};

use super::Admitted;

/// Prefix of our audit annotations; the API server adds the webhook's name.
const FORBIDDEN: u16 = 403;

/// Why a body is not an AdmissionReview we can judge.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON.
    #[error(
        "the body is not JSON ({0}); send an admission.k8s.io/v1 AdmissionReview, as the API server does"
    )]
    Json(#[from] serde_json::Error),
    /// Another kind or version.
    #[error("the body is a {0}, not an admission.k8s.io/v1 AdmissionReview")]
    Kind(String),
    /// A part is missing.
    #[error("the AdmissionReview has no {0}")]
    Missing(&'static str),
    /// A part is not what it should be.
    #[error("the AdmissionReview's {0}")]
    Part(String),
}

/// Reads a review. The namespace object is not part of the envelope: whoever judges adds it.
///
/// # Errors
/// Not JSON, not an AdmissionReview v1, or a part is missing.
pub fn read(bytes: &[u8]) -> Result<Review, EnvelopeError> {
    let mut body: Value = serde_json::from_slice(bytes)?;
    let kind = format!("{} {}", text(&body, "apiVersion"), text(&body, "kind"));
    if kind != "admission.k8s.io/v1 AdmissionReview" {
        return Err(EnvelopeError::Kind(kind.chars().take(128).collect()));
    }
    let mut request = match body.get_mut("request").map(Value::take) {
        Some(request @ Value::Object(_)) => request,
        _ => return Err(EnvelopeError::Missing("request")),
    };
    let uid = text(&request, "uid");
    if uid.is_empty() {
        return Err(EnvelopeError::Missing("request.uid"));
    }
    let mut take = |name: &str| request.get_mut(name).map(Value::take).unwrap_or_default();
    let (object, old_object, options) = (take("object"), take("oldObject"), take("options"));
    let user: User = match take("userInfo") {
        Value::Null => return Err(EnvelopeError::Missing("request.userInfo")),
        info => {
            serde_json::from_value(info).map_err(|error| EnvelopeError::Part(format!("userInfo: {error}")))?
        }
    };
    let (kind, resource) = (request.get("kind"), request.get("resource"));
    Ok(Review {
        uid,
        kind: GroupVersionKind {
            group: part(kind, "group"),
            version: part(kind, "version"),
            kind: part(kind, "kind"),
        },
        resource: GroupVersionResource {
            group: part(resource, "group"),
            version: part(resource, "version"),
            resource: part(resource, "resource"),
        },
        sub_resource: text(&request, "subResource"),
        name: text(&request, "name"),
        namespace: text(&request, "namespace"),
        operation: text(&request, "operation").parse::<Operation>().map_err(EnvelopeError::Part)?,
        user,
        object: Arc::new(object),
        old_object: Arc::new(old_object),
        dry_run: request.get("dryRun").and_then(Value::as_bool).unwrap_or(false),
        options,
        namespace_object: Arc::new(Value::Null),
    })
}

/// Writes the answer.
#[must_use]
pub fn write(uid: &str, admitted: &Admitted) -> Vec<u8> {
    let mut response = json!({"uid": uid, "allowed": admitted.allowed});
    if !admitted.allowed {
        response["status"] = json!({"status": "Failure", "reason": "Forbidden", "code": FORBIDDEN, "message": admitted.message});
    }
    if !admitted.warnings.is_empty() {
        response["warnings"] = json!(admitted.warnings);
    }
    if !admitted.annotations.is_empty() {
        response["auditAnnotations"] = json!(admitted.annotations);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        .to_string()
        .into_bytes()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn part(value: Option<&Value>, name: &str) -> String {
    value.map(|value| text(value, name)).unwrap_or_default()
}
