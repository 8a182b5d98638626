//! Everything `outis install` puts into a cluster, as data. Pure: the same plan gives the same objects.
//!
//! Objects outside of our namespace that would do harm without us (the webhook's registration, rights) are
//! owned by the namespace: whoever deletes it takes them along. Definitions and what users wrote under them
//! stay.

mod access;
mod agent;
mod controller;
mod parts;
mod webhook;

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use outis_model::{Namespace, TrustDomain};
use serde_json::{Value, json};

pub use agent::cleanup;
pub use webhook::{CANARY_DENIED, CANARY_OPEN};

/// The label that tells our objects, with `MANAGED_BY`'s value.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// The label that tells a part: `controller`, `agent`, `webhook`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label with the installed version.
pub const VERSION: &str = "app.kubernetes.io/version";
/// Beginning of the name of an image no registry answers for.
pub(crate) const LOCAL: &str = "localhost/";
/// The annotation that says to which namespace a cluster-scoped object of ours belongs.
pub const HOME: &str = "outis.dev/namespace";

/// What to install, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Our namespace.
    pub namespace: Namespace,
    /// The image, with tag or digest.
    pub image: String,
    /// Version of the binary that installs.
    pub version: String,
    /// Trust domain of the identities.
    pub trust_domain: TrustDomain,
    /// Where the store lies.
    pub storage: Storage,
    /// Kubelet's directory on the nodes.
    pub kubelet_dir: String,
    /// Tolerations of controller and webhook; the agent tolerates everything.
    pub tolerations: Vec<Value>,
    /// Node selector of controller and webhook.
    pub node_selector: BTreeMap<String, String>,
    /// Priority class of all parts.
    pub priority_class: String,
    /// Groups whose members may ask the controller, for what their own rights let them read.
    pub user_groups: Vec<String>,
    /// UID of our namespace, once it exists.
    pub owner: Option<String>,
}

/// The store's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// A claim of this class, or of the default one.
    Class(Option<String>),
    /// This PersistentVolume.
    Volume {
        /// Its name.
        name: String,
        /// Its class, which a claim must name too.
        class: String,
    },
}

/// This binary's architecture, as nodes call theirs.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Plan {
    /// The one architecture the image runs on; `None` where it may run on several. An image that no registry has was
    /// built with this binary: on other nodes its pods would crash for ever.
    #[must_use]
    pub fn architecture(&self) -> Option<&'static str> {
        self.image.starts_with(LOCAL).then(architecture)
    }
}

/// An object and the step of the install it belongs to.
pub type Objects = Vec<DynamicObject>;

/// The namespace itself: agents need a profile that lets them load kernel programs.
#[must_use]
pub fn namespace(plan: &Plan) -> Objects {
    let mut labels = labels(plan, None);
    labels["pod-security.kubernetes.io/enforce"] = json!("privileged");
    objects([json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": plan.namespace, "labels": labels}})])
}

/// Our definitions.
#[must_use]
pub fn definitions(plan: &Plan) -> Objects {
    let crds = outis_api::crds().into_iter().map(|crd| {
        let mut value = serde_json::to_value(crd).expect("a definition is JSON");
        value["metadata"]["labels"] = labels(plan, None);
        value
    });
    objects(crds)
}

/// Accounts, rights and the volume driver's entry, services and the claim: what parts need before they start.
#[must_use]
pub fn ground(plan: &Plan) -> Objects {
    let mut all = access::objects(plan);
    all.extend(controller::ground(plan));
    all.extend(agent::ground(plan));
    all.extend(webhook::ground(plan));
    objects(all)
}

/// The three parts.
#[must_use]
pub fn parts(plan: &Plan) -> Objects {
    objects([controller::deployment(plan), agent::daemon_set(plan), webhook::deployment(plan)])
}

/// The settings object, for when there is none yet.
#[must_use]
pub fn settings(plan: &Plan) -> Objects {
    objects([json!({"apiVersion": "outis.dev/v1alpha1", "kind": "Outis",
        "metadata": {"name": outis_api::outis::NAME, "labels": labels(plan, None)},
        "spec": {"trustDomain": plan.trust_domain.to_string()}})])
}

/// All of it, in the order of the install.
#[must_use]
pub fn all(plan: &Plan) -> Objects {
    let steps = [namespace(plan), definitions(plan), ground(plan), settings(plan), parts(plan)];
    steps.into_iter().flatten().collect()
}

fn objects(values: impl IntoIterator<Item = Value>) -> Objects {
    let read = |value| serde_json::from_value(value).expect("our own manifests have a kind and a name");
    values.into_iter().map(read).collect()
}

/// Labels of an object, or of a part's pods.
fn labels(plan: &Plan, component: Option<&str>) -> Value {
    let mut labels = json!({
        "app.kubernetes.io/name": "outis",
        PART_OF: "outis",
        VERSION: plan.version,
        "app.kubernetes.io/managed-by": "outis",
    });
    if let Some(component) = component {
        labels[COMPONENT] = json!(component);
    }
    labels
}

/// Metadata of an object in our namespace.
fn inside(plan: &Plan, name: &str, component: Option<&str>) -> Value {
    json!({"name": name, "namespace": plan.namespace, "labels": labels(plan, component)})
}

/// Metadata of a cluster-scoped object that goes with our namespace.
fn outside(plan: &Plan, name: &str) -> Value {
    let mut metadata =
        json!({"name": name, "labels": labels(plan, None), "annotations": {HOME: plan.namespace}});
    if let Some(owner) = owner_reference(plan) {
        metadata["ownerReferences"] = json!([owner]);
    }
    metadata
}

/// The namespace as owner, for objects that must not outlive it.
#[must_use]
pub fn owner_reference(plan: &Plan) -> Option<Value> {
    let uid = plan.owner.as_ref()?;
    Some(json!({"apiVersion": "v1", "kind": "Namespace", "name": plan.namespace, "uid": uid}))
}

#[cfg(test)]
pub(crate) mod tests;
