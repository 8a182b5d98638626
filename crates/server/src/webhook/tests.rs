use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

/// Refuses privileged pods, is away for pods named `later`.
struct Strict;

impl Admit for Strict {
    fn admit(&self, review: Review) -> Answer<'_, Result<Admitted, Refusal>> {
        Box::pin(async move {
            if review.name == "later" {
                return Err(Refusal::Unavailable("the queue is full".into()));
            }
            let privileged = review.object.pointer("/spec/privileged") == Some(&Value::Bool(true));
            Ok(Admitted {
                allowed: !privileged,
                message: format!("{} {} may not", review.operation, review.name),
                warnings: vec!["mind the gap".into()],
                annotations: BTreeMap::from([("decision".to_owned(), "01".to_owned())]),
            })
        })
    }
}

fn review(name: &str, privileged: bool) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "operation": "CREATE", "name": name, "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "jo", "groups": ["dev"]},
        "object": {"kind": "Pod", "spec": {"privileged": privileged}}}})
}

async fn send(body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post("/v1/admit").body(body.into()).expect("request");
    let response = router(Arc::new(Strict)).oneshot(request).await.expect("infallible");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

#[tokio::test]
async fn a_refusal_has_code_message_and_annotations() {
    let (status, body) = send(review("web", true).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let response = &body["response"];
    assert_eq!(response["uid"], "u-1");
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["status"]["message"], "CREATE web may not");
    assert_eq!(response["auditAnnotations"]["decision"], "01");
}

#[tokio::test]
async fn an_admission_carries_warnings_and_no_status() {
    let (_, body) = send(review("web", false).to_string()).await;
    assert_eq!(body["response"]["allowed"], true);
    assert_eq!(body["response"]["warnings"], json!(["mind the gap"]));
    assert_eq!(body["response"]["status"], Value::Null);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_problem() {
    let (status, body) = send("{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["title"], "NotAnAdmissionReview");
    assert!(body["detail"].as_str().expect("text").starts_with("the body is not JSON"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_problem() {
    let (status, body) = send(vec![b' '; BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        body["detail"],
        "the admission review is longer than the 8 MiB that are judged; split the object, or exclude its kind"
    );
}

#[tokio::test]
async fn another_kind_or_a_missing_part_is_named() {
    let (_, body) = send(json!({"apiVersion": "v1", "kind": "Pod"}).to_string()).await;
    assert_eq!(body["detail"], "the body is a v1 Pod, not an admission.k8s.io/v1 AdmissionReview");
    let mut without = review("web", false);
    without["request"]["userInfo"].take();
    let (_, body) = send(without.to_string()).await;
    assert_eq!(body["detail"], "the AdmissionReview has no request.userInfo");
    let mut other = review("web", false);
    other["request"]["operation"] = "PATCH".into();
    let (_, body) = send(other.to_string()).await;
    assert!(body["detail"].as_str().expect("text").contains("none of CREATE"));
}

#[tokio::test]
async fn no_verdict_is_unavailable_never_allowed() {
    let (status, body) = send(review("later", false).to_string()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["response"], Value::Null);
}
