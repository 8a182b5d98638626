//! The cluster as we know it, folded from watch events. Events about different objects may arrive in
//! any order and end in the same snapshot; the last event about one object wins.
//!
//! Sharded by namespace behind `Arc`: a copy costs a few pointers, a change rebuilds one shard.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{ContainerId, Name, Namespace, NodeName, PodUid, ServiceAccount};

/// A pod, as far as anyone here needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace.
    pub namespace: Namespace,
    /// Name.
    pub name: Name,
    /// UID as the API server gave it.
    pub uid: PodUid,
    /// For a static pod: the config hash the kubelet uses in its cgroup instead of the UID.
    pub config_hash: Option<PodUid>,
    /// Its node, once scheduled.
    pub node: Option<NodeName>,
    /// Its service account.
    pub service_account: ServiceAccount,
    /// Addresses, both families, once assigned.
    pub addresses: Vec<IpAddr>,
    /// Whether it shares the node's network namespace.
    pub host_network: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The controlling owner as (kind, name).
    pub owner: Option<(String, Name)>,
    /// Init, ordinary and ephemeral containers.
    pub containers: Vec<Container>,
    /// Whether kubelet calls it ready and nobody deletes it.
    pub ready: bool,
    /// Whether it has ended (`Succeeded`, `Failed`).
    pub ended: bool,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image as written in the spec.
    pub image: String,
    /// The runtime's id, once started.
    pub id: Option<ContainerId>,
    /// `securityContext.privileged`.
    pub privileged: bool,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceInfo {
    /// Its name.
    pub name: Namespace,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// `kubernetes.io/arch` as the kubelet reports it.
    pub architecture: String,
    /// Addresses of the node.
    pub addresses: Vec<IpAddr>,
    /// Condition `Ready` is `True`.
    pub ready: bool,
    /// Whether ordinary pods can be scheduled there (not `spec.unschedulable`).
    pub schedulable: bool,
}

/// Any object the snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A namespace.
    Namespace(NamespaceInfo),
    /// A node.
    Node(Node),
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// A pod by namespace and name.
    Pod(Namespace, Name),
    /// A namespace.
    Namespace(Namespace),
    /// A node.
    Node(NodeName),
}

/// A kind of object the snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Pods.
    Pod,
    /// Namespaces.
    Namespace,
    /// Nodes.
    Node,
}

impl Object {
    /// Which object this is.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Pod(pod) => Key::Pod(pod.namespace.clone(), pod.name.clone()),
            Self::Namespace(info) => Key::Namespace(info.name.clone()),
            Self::Node(node) => Key::Node(node.name.clone()),
        }
    }
}

impl Key {
    /// The kind of the object.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(..) => Kind::Pod,
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shard {
    info: Option<Arc<NamespaceInfo>>,
    pods: BTreeMap<Name, Arc<Pod>>,
}

/// The folded view. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    shards: BTreeMap<Namespace, Arc<Shard>>,
    nodes: BTreeMap<NodeName, Arc<Node>>,
    by_uid: BTreeMap<PodUid, (Namespace, Name)>,
}

impl Snapshot {
    /// Takes in an added or changed object.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Pod(pod) => {
                self.delete(&Key::Pod(pod.namespace.clone(), pod.name.clone()));
                for uid in std::iter::once(&pod.uid).chain(&pod.config_hash) {
                    self.by_uid.insert(uid.clone(), (pod.namespace.clone(), pod.name.clone()));
                }
                self.shard(&pod.namespace).pods.insert(pod.name.clone(), Arc::new(pod));
            }
            Object::Namespace(info) => {
                let name = info.name.clone();
                self.shard(&name).info = Some(Arc::new(info));
            }
            Object::Node(node) => {
                self.nodes.insert(node.name.clone(), Arc::new(node));
            }
        }
    }

    /// Takes out a deleted object; an unknown one is no change.
    pub fn delete(&mut self, key: &Key) {
        match key {
            Key::Pod(ns, name) => {
                let Some(shard) = self.shards.get_mut(ns) else { return };
                let Some(old) = Arc::make_mut(shard).pods.remove(name) else { return };
                for uid in std::iter::once(&old.uid).chain(&old.config_hash) {
                    // A pod recreated under the same name may already own the entry.
                    if self.by_uid.get(uid).is_some_and(|(n, p)| n == ns && p == name) {
                        self.by_uid.remove(uid);
                    }
                }
                self.forget_if_empty(ns);
            }
            Key::Namespace(ns) => {
                let Some(shard) = self.shards.get_mut(ns) else { return };
                Arc::make_mut(shard).info = None;
                self.forget_if_empty(ns);
            }
            Key::Node(name) => {
                self.nodes.remove(name);
            }
        }
    }

    /// Replaces everything of one kind, as after a restarted watch. Objects of other kinds in
    /// `objects` are ignored.
    pub fn reset(&mut self, kind: Kind, objects: Vec<Object>) {
        for key in self.keys(kind) {
            self.delete(&key);
        }
        for object in objects.into_iter().filter(|object| object.key().kind() == kind) {
            self.apply(object);
        }
    }

    /// A pod by namespace and name.
    #[must_use]
    pub fn pod(&self, ns: &Namespace, name: &Name) -> Option<&Arc<Pod>> {
        self.shards.get(ns)?.pods.get(name)
    }

    /// A pod by its UID, or by the config hash of a static pod.
    #[must_use]
    pub fn pod_by_uid(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        let (ns, name) = self.by_uid.get(uid)?;
        self.pod(ns, name)
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(&self, ns: &Namespace) -> Option<&Arc<NamespaceInfo>> {
        self.shards.get(ns)?.info.as_ref()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// All pods, in order of namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.shards.values().flat_map(|shard| shard.pods.values())
    }

    /// All nodes, in order of name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// All known namespaces, in order of name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<NamespaceInfo>> {
        self.shards.values().filter_map(|shard| shard.info.as_ref())
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Pod => self.pods().map(|pod| Key::Pod(pod.namespace.clone(), pod.name.clone())).collect(),
            Kind::Namespace => self.namespaces().map(|info| Key::Namespace(info.name.clone())).collect(),
            Kind::Node => self.nodes.keys().cloned().map(Key::Node).collect(),
        }
    }

    fn shard(&mut self, ns: &Namespace) -> &mut Shard {
        Arc::make_mut(self.shards.entry(ns.clone()).or_default())
    }

    fn forget_if_empty(&mut self, ns: &Namespace) {
        if self.shards.get(ns).is_some_and(|shard| shard.info.is_none() && shard.pods.is_empty()) {
            self.shards.remove(ns);
        }
    }
}

#[cfg(test)]
mod tests;
