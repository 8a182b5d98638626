use std::collections::BTreeMap;

use http_body_util::BodyExt;
use outis_model::alert::Priority;
use outis_model::record::{Record, Subject};
use tower::ServiceExt;

use super::*;

/// Three records: one of `shop`, one of `bank`, one of none. Users read the namespace they are named after.
struct Shelf;

fn logged(seq: u64, ns: Option<&str>) -> Logged {
    let subject =
        Subject { namespace: ns.map(|ns| ns.parse().expect("ns")), kind: "Pod".into(), ..Subject::default() };
    let time = Timestamp::from_millisecond(i64::try_from(seq).expect("small")).expect("in range");
    Logged {
        seq,
        record: Record {
            id: RecordId::new(time, u128::from(seq)),
            time,
            kind: RecordKind::Admission,
            actor: "jo".into(),
            subject,
            summary: format!("record {seq}"),
            verdict: None,
            mode: None,
            priority: Priority::Notice,
            because: vec![],
            fields: BTreeMap::new(),
        },
    }
}

fn shelf() -> [Logged; 3] {
    [logged(0, Some("shop")), logged(1, Some("bank")), logged(2, None)]
}

impl Library for Shelf {
    fn record(&self, id: RecordId) -> Answer<'_, Result<Option<Logged>, Refusal>> {
        Box::pin(async move { Ok(shelf().into_iter().find(|logged| logged.record.id == id)) })
    }
    fn range(&self, filter: Filter) -> Answer<'_, Result<Vec<Logged>, Refusal>> {
        Box::pin(async move { Ok(shelf().into_iter().filter(|logged| filter.takes(logged)).collect()) })
    }
    fn tail(&self) -> Updates<Result<Logged, u64>> {
        Box::pin(futures::stream::iter([Ok(logged(1, Some("shop"))), Err(7), Ok(logged(3, Some("shop")))]))
    }
    fn export(&self, _: u64) -> Answer<'_, Result<Vec<Value>, Refusal>> {
        Box::pin(async { Ok(vec![Value::from(1)]) })
    }
    fn status(&self) -> Answer<'_, Value> {
        Box::pin(async { Value::from("fine") })
    }
    fn may_read(&self, user: User, namespace: Option<Namespace>) -> Answer<'_, Result<bool, Refusal>> {
        let may = user.username == "admin" || namespace.is_some_and(|ns| ns.as_str() == user.username);
        Box::pin(async move { Ok(may) })
    }
}

/// Takes the name of the signing request for the user.
impl Authenticate for Shelf {
    fn user(&self, proof: proof::Signed) -> Answer<'_, Result<User, Refusal>> {
        Box::pin(async move {
            match proof.csr.as_str() {
                "nobody" => Err(Refusal::Denied("the signature does not fit".into())),
                name => Ok(User { username: name.into(), ..User::default() }),
            }
        })
    }
}

/// Only `admin` may.
impl Orders for Shelf {
    fn may_rotate(&self, user: User) -> Answer<'_, Result<bool, Refusal>> {
        Box::pin(async move { Ok(user.username == "admin") })
    }
    fn rotate(&self, user: User, what: Rotate) -> Answer<'_, Result<Rotating, Refusal>> {
        let text = format!("{} root: {}", user.username, what.root);
        Box::pin(async move { Ok(Rotating { text }) })
    }
}

async fn ask(user: Option<&str>, target: &str) -> (StatusCode, String) {
    send(user, Request::get(target)).await
}

async fn send(user: Option<&str>, mut request: http::request::Builder) -> (StatusCode, String) {
    if let Some(user) = user {
        request = request.header(proof::HEADER, proof::header(user, 1, "c2ln"));
    }
    let request = request.body(Body::empty()).expect("request");
    let response =
        router(Arc::new(Shelf), Arc::new(Shelf), Arc::new(Shelf)).oneshot(request).await.expect("infallible");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn without_a_proof_nothing_is_told() {
    for target in ["/v1/events", "/v1/status", "/v1/log", "/v1/records/x"] {
        let (status, body) = ask(None, target).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{target}");
        assert!(body.contains("x-outis-proof"), "{body}");
    }
    let (status, body) = ask(Some("nobody"), "/v1/events").await;
    assert_eq!((status, body.contains("ProofRefused")), (StatusCode::UNAUTHORIZED, true));
}

#[tokio::test]
async fn a_namespaced_user_reads_that_namespace_alone() {
    let (status, body) = ask(Some("shop"), "/v1/events?namespace=shop").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("record 0") && !body.contains("record 1"), "{body}");
    for target in ["/v1/events?namespace=bank", "/v1/events", "/v1/status", "/v1/log"] {
        let (status, body) = ask(Some("shop"), target).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{target}");
        assert!(body.contains("pods/log"), "{body}");
    }
}

#[tokio::test]
async fn a_foreign_record_is_as_absent_as_none() {
    let foreign = shelf()[1].record.id;
    let (status, told) = ask(Some("shop"), &format!("/v1/records/{foreign}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let absent = RecordId::new(Timestamp::UNIX_EPOCH, 99);
    let (status, other) = ask(Some("shop"), &format!("/v1/records/{absent}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(told.replace(&foreign.to_string(), ""), other.replace(&absent.to_string(), ""));
    let own = shelf()[0].record.id;
    assert_eq!(ask(Some("shop"), &format!("/v1/records/{own}")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_watch_goes_on_where_the_past_ended_and_tells_what_it_missed() {
    let (_, body) = ask(Some("admin"), "/v1/events?namespace=shop&watch=true").await;
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines.len(), 4, "{body}");
    assert!(lines[0].contains("record 0") && lines[1].contains("record 1"));
    assert_eq!(lines[2], r#"{"missed":7}"#);
    assert!(lines[3].contains("record 3"));
}

#[tokio::test]
async fn a_rotation_takes_a_right_of_its_own_and_a_post() {
    let post = |target: &str| Request::post(target);
    let (status, body) = send(Some("admin"), post("/v1/identity/rotate?root=true")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"text":"admin root: true"}"#));
    let (_, body) = send(Some("admin"), post("/v1/identity/rotate")).await;
    assert_eq!(body, r#"{"text":"admin root: false"}"#);
    let (status, body) = send(Some("shop"), post("/v1/identity/rotate?root=true")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("shop may not replace") && body.contains("the verb `rotate`"), "{body}");
    assert_eq!(send(None, post("/v1/identity/rotate")).await.0, StatusCode::UNAUTHORIZED);
    // Who may only look cannot change anything by looking.
    assert_eq!(ask(Some("admin"), "/v1/identity/rotate").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(send(Some("admin"), post("/v1/identity/rotate?rood=true")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_filter_or_a_bad_id_is_refused() {
    assert_eq!(ask(Some("admin"), "/v1/events?nmspace=shop").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(Some("admin"), "/v1/records/zz").await.0, StatusCode::BAD_REQUEST);
}

#[test]
fn a_proof_of_another_shape_is_refused() {
    for value in ["", "a", "a;b;c", "a;1", "a;1;c;d", "../x;1;c", "A;1;c"] {
        let headers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static(proof::HEADER),
            http::HeaderValue::from_str(value).expect("header"),
        )]);
        assert_eq!(proof::read("GET", "/", &headers), Err(proof::ProofError::Shape), "{value}");
    }
}
