//! From Kubernetes' objects to the model's, the same for whoever watches.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt;
use outis_model::name::NameError;
use outis_model::snapshot::{Container, NamespaceInfo, Node, Pod};
use outis_model::{ContainerId, Name, NodeName};

/// A static pod's mirror carries the hash its cgroup is named by.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod.
///
/// # Errors
/// A name that breaks its rule: no API server gives such.
pub fn pod(pod: &core::Pod) -> Result<Pod, NameError> {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let annotation = |key| pod.annotations().get(key);
    let service_account = spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let addresses = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    Ok(Pod {
        namespace: pod.namespace().unwrap_or_default().parse()?,
        name: pod.name_any().parse()?,
        uid: pod.uid().unwrap_or_default().parse()?,
        config_hash: match annotation(MIRROR) {
            Some(_) => annotation(CONFIG_HASH).and_then(|hash| hash.parse().ok()),
            None => None,
        },
        node: spec.and_then(|spec| spec.node_name.as_deref()).map(str::parse).transpose()?,
        service_account: service_account.parse()?,
        addresses: addresses.filter_map(|found| found.ip.parse::<IpAddr>().ok()).collect(),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
        labels: pod.labels().clone(),
        owner: owner.map(|owner| Ok((owner.kind.clone(), owner.name.parse::<Name>()?))).transpose()?,
        containers: containers(pod),
        ready: ready(pod),
        ended: status
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|phase| phase == "Succeeded" || phase == "Failed"),
    })
}

fn ready(pod: &core::Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut named = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && named.any(|condition| condition.status == "True")
}

fn containers(pod: &core::Pod) -> Vec<Container> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let ordinary = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ordinary = ordinary.map(|one| (&one.name, one.image.as_ref(), one.security_context.as_ref()));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|one| (&one.name, one.image.as_ref(), one.security_context.as_ref()));
    let one =
        |(name, image, context): (&String, Option<&String>, Option<&core::SecurityContext>)| Container {
            name: name.clone(),
            image: image.cloned().unwrap_or_default(),
            id: started(pod, name),
            privileged: context.and_then(|context| context.privileged).unwrap_or(false),
        };
    ordinary.chain(ephemeral).map(one).collect()
}

/// The runtime's id of a container: `containerd://<hex>` in the status.
fn started(pod: &core::Pod, name: &str) -> Option<ContainerId> {
    let status = pod.status.as_ref()?;
    let all =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let found = all.into_iter().flatten().flatten().find(|status| status.name == name)?;
    let (_, id) = found.container_id.as_deref()?.split_once("://")?;
    id.parse().ok()
}

/// A namespace.
///
/// # Errors
/// A name that breaks its rule.
pub fn namespace(namespace: &core::Namespace) -> Result<NamespaceInfo, NameError> {
    Ok(NamespaceInfo { name: namespace.name_any().parse()?, labels: namespace.labels().clone() })
}

/// A node.
///
/// # Errors
/// A name that breaks its rule.
pub fn node(node: &core::Node) -> Result<Node, NameError> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let architecture = status.and_then(|status| status.node_info.as_ref()).map(|info| &info.architecture);
    Ok(Node {
        name: node.name_any().parse::<NodeName>()?,
        architecture: architecture.cloned().unwrap_or_default(),
        addresses: addresses.filter_map(|found| found.address.parse().ok()).collect(),
        ready: conditions.into_iter().any(|found| found.type_ == "Ready" && found.status == "True"),
        schedulable: !node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Pod {
        pod(&serde_json::from_value(value).expect("a pod")).expect("sound names")
    }

    #[test]
    fn a_running_pod_is_read_whole() {
        let id = "a".repeat(64);
        let pod = read(json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "x", "controller": true}]},
            "spec": {"nodeName": "node1", "serviceAccountName": "web",
                "initContainers": [{"name": "init", "image": "i:1"}],
                "containers": [{"name": "web", "image": "w:2", "securityContext": {"privileged": true}}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "containerStatuses": [{"name": "web", "image": "w:2", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": format!("containerd://{id}")}]},
        }));
        assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), ("shop", "web-1", "u-1"));
        assert_eq!(pod.node.as_ref().map(NodeName::as_str), Some("node1"));
        assert_eq!(pod.owner, Some(("ReplicaSet".into(), "web".parse().expect("name"))));
        assert_eq!(pod.addresses.len(), 2);
        let shown: Vec<_> = pod.containers.iter().map(|one| (one.name.as_str(), one.privileged)).collect();
        assert_eq!(shown, [("init", false), ("web", true)]);
        assert_eq!(pod.containers[1].id.as_ref().map(ContainerId::as_str), Some(id.as_str()));
        assert_eq!(pod.containers[0].id, None, "not started yet");
    }

    #[test]
    fn a_pod_that_goes_is_not_ready_whatever_its_condition_says() {
        let with = |deleted: serde_json::Value, status: &str| {
            read(
                json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "deletionTimestamp": deleted},
                "status": {"conditions": [{"type": "Ready", "status": status}]}}),
            )
            .ready
        };
        assert!(with(json!(null), "True"));
        assert!(!with(json!(null), "False"));
        assert!(!with(json!("2026-11-24T00:00:00Z"), "True"));
    }

    #[test]
    fn only_a_mirror_pod_goes_by_its_config_hash() {
        let with = |annotations: serde_json::Value| {
            read(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": annotations}}))
                .config_hash
        };
        assert_eq!(with(json!({CONFIG_HASH: "h1"})), None, "anyone may write an annotation");
        assert_eq!(
            with(json!({CONFIG_HASH: "h1", MIRROR: "h1"})).map(|hash| hash.to_string()),
            Some("h1".into())
        );
    }

    #[test]
    fn a_cordoned_node_is_not_schedulable() {
        let read = |value| node(&serde_json::from_value(value).expect("a node")).expect("sound");
        let cordoned = read(json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}, {"type": "Hostname", "address": "n1"}]}}));
        assert!(cordoned.ready && !cordoned.schedulable);
        assert_eq!(cordoned.addresses.len(), 1, "names are no addresses");
    }
}
