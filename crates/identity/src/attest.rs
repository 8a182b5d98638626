//! Who is believed to be what. Pure rules over what the API server said.

use outis_model::input::{Component, Role};
use outis_model::snapshot::Pod;
use outis_model::{Namespace, NodeName, SpiffeId, TrustDomain};

mod replay;

pub use replay::{Digest, ReplayGuard, UsedTokens};

/// What a TokenReview said of a projected token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenFacts {
    /// Whether the API server authenticated it.
    pub authenticated: bool,
    /// Audiences it is valid for; empty where the API server does not say.
    pub audiences: Vec<String>,
    /// `system:serviceaccount:<ns>:<name>`.
    pub username: String,
    /// Name of the pod it is bound to.
    pub pod_name: String,
    /// UID of the pod it is bound to.
    pub pod_uid: String,
}

/// Why a component was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// Expired, of another cluster, or no token.
    #[error("the API server does not know this token; it expired, or is of another cluster")]
    Unauthenticated,
    /// For somebody else.
    #[error("the token is for audience {0:?}, not for `outis`")]
    Audience(Vec<String>),
    /// Another service account.
    #[error("{0} is no account of ours")]
    Account(String),
    /// The pod it is bound to is another, or gone.
    #[error("the token is bound to pod {token}, the cluster has {found}")]
    Pod {
        /// UID in the token.
        token: String,
        /// UID in the snapshot.
        found: String,
    },
    /// Not scheduled.
    #[error("pod {0} is on no node")]
    Node(String),
    /// Used before.
    #[error("the token was used before; each is good for one enrolment")]
    Replayed,
    /// It cannot be remembered that it was used.
    #[error("it cannot be told whether the token was used before: {0}")]
    Unremembered(String),
    /// Too many tokens are remembered to tell whether this one was used.
    #[error("more enrolments than can be told apart in two hours; try again later")]
    Crowded,
    /// All its containers have ended.
    #[error("pod {0} has ended")]
    Ended(String),
    /// An identity for a pod of another node.
    #[error("pod {pod} is on node {found}, not on {asking}")]
    OtherNode {
        /// The pod.
        pod: String,
        /// Its node.
        found: String,
        /// Who asks.
        asking: NodeName,
    },
}

/// The audience of our projected tokens.
pub const AUDIENCE: &str = "outis";

/// Believes a component by its token and its pod: audience, account, pod UID; the node is the pod's.
///
/// # Errors
/// The first rule that does not hold.
pub fn component(
    facts: &TokenFacts,
    pod: Option<&Pod>,
    system: &Namespace,
) -> Result<Component, NotBelieved> {
    if !facts.authenticated {
        return Err(NotBelieved::Unauthenticated);
    }
    // Old API servers leave the audience out; a token whose audience we cannot see is not ours.
    if !facts.audiences.iter().any(|audience| audience == AUDIENCE) {
        return Err(NotBelieved::Audience(facts.audiences.clone()));
    }
    let account = facts.username.strip_prefix(&format!("system:serviceaccount:{system}:"));
    let role = account.and_then(role_of).ok_or_else(|| NotBelieved::Account(facts.username.clone()))?;
    let found = pod.map_or("none", |pod| pod.uid.as_str());
    let Some(pod) = pod.filter(|pod| pod.uid.as_str() == facts.pod_uid && &pod.namespace == system) else {
        return Err(NotBelieved::Pod { token: facts.pod_uid.clone(), found: found.into() });
    };
    if pod.ended {
        return Err(NotBelieved::Ended(format!("{}/{}", pod.namespace, pod.name)));
    }
    let node = pod.node.clone().ok_or_else(|| NotBelieved::Node(pod.name.to_string()))?;
    Ok(Component { role, pod: pod.name.to_string(), node })
}

/// The mode that runs under one of our service accounts.
fn role_of(account: &str) -> Option<Role> {
    match account {
        "outis-agent" => Some(Role::Agent),
        "outis-webhook" => Some(Role::Webhook),
        _ => None,
    }
}

/// The component a pod of our namespace is meant to be; none while it is on no node, or has ended.
#[must_use]
pub fn component_in(pod: &Pod, system: &Namespace) -> Option<Component> {
    let role = role_of(pod.service_account.as_str())?;
    let here = &pod.namespace == system && !pod.ended;
    let node = pod.node.clone().filter(|_| here)?;
    Some(Component { role, pod: pod.name.to_string(), node })
}

/// The identity of a component's own certificate.
#[must_use]
pub fn component_id(domain: &TrustDomain, component: &Component) -> SpiffeId {
    let text = format!("spiffe://{domain}/outis/{}/{}/{}", component.role, component.node, component.pod);
    text.parse().expect("role, node and pod names are path segments")
}

/// The component behind such an identity.
#[must_use]
pub fn component_of(domain: &TrustDomain, id: &SpiffeId) -> Option<Component> {
    let mut parts = id.path().strip_prefix("/outis/")?.split('/');
    let role = match parts.next()? {
        "agent" => Role::Agent,
        "webhook" => Role::Webhook,
        _ => return None,
    };
    let (node, pod) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
    (parts.next().is_none() && id.trust_domain() == domain).then_some(Component { role, pod, node })
}

/// The controller's own identity.
#[must_use]
pub fn controller_id(domain: &TrustDomain) -> SpiffeId {
    format!("spiffe://{domain}/outis/controller").parse().expect("fixed path segments")
}

/// The identity of a pod, asked for by the agent of `node`: only of its own node's pods, only of their
/// service account.
///
/// # Errors
/// The pod is on another node, or has ended.
pub fn entitled(domain: &TrustDomain, node: &NodeName, pod: &Pod) -> Result<SpiffeId, NotBelieved> {
    if pod.node.as_ref() != Some(node) {
        let found = pod.node.as_ref().map_or_else(|| "none".into(), ToString::to_string);
        let pod = format!("{}/{}", pod.namespace, pod.name);
        return Err(NotBelieved::OtherNode { pod, found, asking: node.clone() });
    }
    if pod.ended {
        return Err(NotBelieved::Ended(format!("{}/{}", pod.namespace, pod.name)));
    }
    Ok(domain.workload(&pod.namespace, &pod.service_account))
}

#[cfg(test)]
mod tests;
