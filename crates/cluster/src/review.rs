//! Questions only the API server can answer: whose token this is, what a user may do, who made a request.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use outis_model::Namespace;
use outis_model::review::User;

/// What the API server says of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSays {
    /// Whether it is one.
    pub authenticated: bool,
    /// Audiences it was accepted for.
    pub audiences: Vec<String>,
    /// User name.
    pub username: String,
    /// The pod it was made for, name and UID; empty when for none.
    pub pod: (String, String),
}

/// Asks about a token, for one audience.
///
/// # Errors
/// The server's words.
pub async fn token(client: &Client, token: &str, audience: &str) -> Result<TokenSays, kube::Error> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: token.into(), audiences: Some(vec![audience.into()]) },
        ..TokenReview::default()
    };
    let done = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    let status = done.status.unwrap_or_default();
    let user = status.user.unwrap_or_default();
    let extra = |key: &str| {
        let found = user.extra.as_ref().and_then(|extra| extra.get(key)).and_then(|values| values.first());
        found.cloned().unwrap_or_default()
    };
    Ok(TokenSays {
        authenticated: status.authenticated.unwrap_or(false),
        audiences: status.audiences.unwrap_or_default(),
        username: user.username.clone().unwrap_or_default(),
        pod: (extra("authentication.kubernetes.io/pod-name"), extra("authentication.kubernetes.io/pod-uid")),
    })
}

/// One thing somebody may or may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access<'a> {
    /// Where; `None` for all namespaces or cluster-scoped things.
    pub namespace: Option<&'a Namespace>,
    /// `get`, `create`, ...
    pub verb: &'a str,
    /// API group; empty for core.
    pub group: &'a str,
    /// Plural, with subresource after a slash.
    pub resource: &'a str,
    /// One object; empty for all of them.
    pub name: &'a str,
}

impl Access<'_> {
    fn attributes(&self) -> ResourceAttributes {
        let (resource, sub) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        ResourceAttributes {
            namespace: self.namespace.map(ToString::to_string),
            verb: Some(self.verb.into()),
            group: Some(self.group.into()),
            resource: Some(resource.into()),
            subresource: (!sub.is_empty()).then(|| sub.into()),
            name: (!self.name.is_empty()).then(|| self.name.into()),
            ..ResourceAttributes::default()
        }
    }
}

/// Whether a user may do something.
///
/// # Errors
/// The server's words.
pub async fn may(client: &Client, user: &User, access: &Access<'_>) -> Result<bool, kube::Error> {
    let review = SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SubjectAccessReviewSpec {
            user: Some(user.username.clone()),
            groups: Some(user.groups.clone()),
            uid: (!user.uid.is_empty()).then(|| user.uid.clone()),
            extra: serde_json::from_value(user.extra.clone()).ok(),
            resource_attributes: Some(access.attributes()),
            ..SubjectAccessReviewSpec::default()
        },
        status: None,
    };
    let done =
        Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(done.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}

/// Whether we ourselves may do something.
///
/// # Errors
/// The server's words.
pub async fn may_i(client: &Client, access: &Access<'_>) -> Result<bool, kube::Error> {
    let review = SelfSubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(access.attributes()),
            ..SelfSubjectAccessReviewSpec::default()
        },
        status: None,
    };
    let done =
        Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(done.status.is_some_and(|status| status.allowed))
}

/// A person's stamped request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// Whom the API server authenticated when it was made.
    pub user: User,
    /// The request, PEM as it was given.
    pub request: Vec<u8>,
    /// When it was made, seconds since the epoch.
    pub made: i64,
}

/// The stamp on a CertificateSigningRequest of one signer; `None` when there is no such request.
///
/// # Errors
/// The server's words.
pub async fn stamped(client: &Client, name: &str, signer: &str) -> Result<Option<Stamped>, kube::Error> {
    let found = Api::<CertificateSigningRequest>::all(client.clone()).get_opt(name).await?;
    let Some(found) = found.filter(|found| found.spec.signer_name == signer) else { return Ok(None) };
    let made = found.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    let spec = found.spec;
    let user = User {
        username: spec.username.unwrap_or_default(),
        uid: spec.uid.unwrap_or_default(),
        groups: spec.groups.unwrap_or_default(),
        extra: spec.extra.map_or(serde_json::Value::Null, |extra| serde_json::json!(extra)),
    };
    Ok(Some(Stamped { user, request: spec.request.0, made }))
}

/// Makes a stamped request for ourselves, to prove who we are. It is deleted by the cluster after a day.
///
/// # Errors
/// The server's words.
pub async fn stamp(client: &Client, signer: &str, request_pem: &str) -> Result<String, kube::Error> {
    let csr = serde_json::json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "outis-user-", "labels": {"app.kubernetes.io/part-of": "outis"}},
        "spec": {"signerName": signer, "usages": ["digital signature", "client auth"], "expirationSeconds": 3600}});
    let mut csr: CertificateSigningRequest = serde_json::from_value(csr).map_err(kube::Error::SerdeError)?;
    csr.spec.request = k8s_openapi::ByteString(request_pem.as_bytes().to_vec());
    let made =
        Api::<CertificateSigningRequest>::all(client.clone()).create(&PostParams::default(), &csr).await?;
    Ok(made.metadata.name.unwrap_or_default())
}
