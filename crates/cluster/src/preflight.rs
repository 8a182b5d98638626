//! What must hold before an install changes anything.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::manifests::{LOCAL, PART_OF, Plan, Storage, VERSION, architecture};
use crate::review::{Access, may_i};

/// The annotation of the class a claim gets that names none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Something that must be put right first. The text ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle(pub String);

/// How an installed version is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// Refuse to go over it.
    Refuse,
    /// Go over it.
    Replace,
}

/// Looks for everything that would stop an install half-way. Changes nothing.
///
/// # Errors
/// The server's words, where it would not say.
pub async fn obstacles(client: &Client, plan: &Plan, other: Other) -> Result<Vec<Obstacle>, kube::Error> {
    let mut found = permissions(client, plan).await?;
    if !found.is_empty() {
        // The other questions would only be refused too.
        return Ok(found);
    }
    found.extend(installed(client, plan, other).await?);
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
    found.extend(runnable(&nodes.items, plan));
    found.extend(storage(client, plan).await?);
    Ok(found)
}

async fn permissions(client: &Client, plan: &Plan) -> Result<Vec<Obstacle>, kube::Error> {
    const NEEDED: [(&str, &str, &str); 9] = [
        ("", "namespaces", "patch"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
        ("rbac.authorization.k8s.io", "clusterroles", "patch"),
        ("rbac.authorization.k8s.io", "clusterrolebindings", "patch"),
        ("storage.k8s.io", "csidrivers", "patch"),
        ("networking.k8s.io", "networkpolicies", "patch"),
        ("apps", "deployments", "patch"),
        ("apps", "daemonsets", "patch"),
        ("", "persistentvolumeclaims", "patch"),
    ];
    let mut missing = Vec::new();
    for (group, resource, verb) in NEEDED {
        let namespace = matches!(group, "apps" | "networking.k8s.io" | "").then_some(&plan.namespace);
        let namespace = namespace.filter(|_| resource != "namespaces");
        if !may_i(client, &Access { namespace, verb, group, resource, name: "" }).await? {
            missing.push(format!("{verb} {resource}"));
        }
    }
    Ok(match missing.is_empty() {
        true => vec![],
        false => vec![Obstacle(format!(
            "you may not {}; install as a cluster administrator, or apply `outis install --dry-run -o yaml` as one",
            missing.join(", ")
        ))],
    })
}

/// Another installation, or another version of this one.
async fn installed(client: &Client, plan: &Plan, other: Other) -> Result<Vec<Obstacle>, kube::Error> {
    let ours = ListParams::default().labels(&format!("{PART_OF}=outis"));
    let all = Api::<Deployment>::all(client.clone()).list(&ours).await?;
    let Some(one) = all.items.iter().find(|one| one.name_any() == "outis-controller") else {
        return Ok(vec![]);
    };
    let home = one.namespace().unwrap_or_default();
    if home != plan.namespace.as_str() {
        return Ok(vec![Obstacle(format!(
            "Outis is installed in namespace {home}; use --system-namespace {home}, or uninstall it there first"
        ))]);
    }
    let version = one.labels().get(VERSION).cloned().unwrap_or_default();
    Ok(match other {
        Other::Refuse if version != plan.version => vec![Obstacle(format!(
            "version {version} is installed and this is {}; go over it with --replace, or use the installed version's binary",
            plan.version
        ))],
        _ => vec![],
    })
}

fn runnable(nodes: &[Node], plan: &Plan) -> Option<Obstacle> {
    if nodes.is_empty() {
        return Some(Obstacle("the cluster has no node; add one first".into()));
    }
    let wanted = plan.architecture()?;
    let others: Option<BTreeSet<&str>> = nodes.iter().map(|node| foreign(node, wanted)).collect();
    let others: Vec<&str> = others?.into_iter().collect();
    Some(Obstacle(format!(
        "image {} is for {wanted} nodes and the cluster has only {}; take a binary and image built for those, or name an \
         image by --image",
        plan.image,
        others.join(", ")
    )))
}

/// A node's architecture, when it is not this one.
fn foreign<'a>(node: &'a Node, wanted: &str) -> Option<&'a str> {
    let found = node.status.as_ref()?.node_info.as_ref()?.architecture.as_str();
    (found != wanted && !found.is_empty()).then_some(found)
}

async fn storage(client: &Client, plan: &Plan) -> Result<Vec<Obstacle>, kube::Error> {
    match &plan.storage {
        Storage::Volume { name, .. } => {
            let found = Api::<PersistentVolume>::all(client.clone()).get_opt(name).await?;
            Ok(match found {
                Some(_) => vec![],
                None => vec![Obstacle(format!(
                    "there is no PersistentVolume {name}; `kubectl get pv` lists those there are"
                ))],
            })
        }
        Storage::Class(wanted) => {
            let classes = Api::<StorageClass>::all(client.clone()).list(&ListParams::default()).await?;
            Ok(class(&classes.items, wanted.as_deref()))
        }
    }
}

fn class(classes: &[StorageClass], wanted: Option<&str>) -> Vec<Obstacle> {
    let names: Vec<String> = classes.iter().map(ResourceExt::name_any).collect();
    let there = match names.is_empty() {
        true => "the cluster has none".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    let default =
        |class: &StorageClass| class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true");
    match wanted {
        Some(name) if names.iter().any(|found| found == name) => vec![],
        Some(name) => {
            vec![Obstacle(format!("there is no StorageClass {name} for the store's volume: {there}"))]
        }
        None if classes.iter().any(default) => vec![],
        None => vec![Obstacle(format!(
            "no default StorageClass for the store's volume: {there}; run `outis install --storage-class NAME`, or \
             `outis install --volume NAME` with a PersistentVolume of your own"
        ))],
    }
}

/// Whether an image can be had: one that names this machine only, by a name no registry answers to, must lie on
/// the nodes already. Nodes report their images every half a minute or so, therefore it waits; a node that runs it
/// has it.
///
/// # Errors
/// The server's words.
pub async fn image(
    client: &Client,
    plan: &Plan,
    patience: Duration,
) -> Result<Option<Obstacle>, kube::Error> {
    let image = &plan.image;
    if !image.starts_with(LOCAL) {
        return Ok(None);
    }
    let begun = tokio::time::Instant::now();
    loop {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        let pods = Api::<Pod>::namespaced(client.clone(), plan.namespace.as_str());
        let pods = pods.list(&ListParams::default()).await?;
        let without = without(&nodes.items, &pods.items, image);
        if without.is_empty() {
            return Ok(None);
        }
        if begun.elapsed() >= patience {
            return Ok(Some(Obstacle(format!(
                "image {image} is not on {} and no registry has it; load it with \
                 `outis install --load kind:NAME|k3s|containerd:SOCKET`, or name another with --image",
                without.join(", ")
            ))));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn without(nodes: &[Node], pods: &[Pod], image: &str) -> Vec<String> {
    let runs = |node: &Node| {
        pods.iter().any(|pod| {
            let here = pod.spec.as_ref().is_some_and(|spec| spec.node_name == node.metadata.name);
            let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            here && containers.into_iter().any(|found| found.started == Some(true) && found.image == image)
        })
    };
    let has = |node: &Node| {
        let images = node.status.as_ref().and_then(|status| status.images.as_ref()).into_iter().flatten();
        let reported =
            images.into_iter().flat_map(|found| found.names.iter().flatten()).any(|name| name == image);
        reported || runs(node)
    };
    // Nodes of another architecture get no pod of ours.
    let ours = |node: &&Node| foreign(node, architecture()).is_none();
    nodes.iter().filter(ours).filter(|node| !has(node)).map(ResourceExt::name_any).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes(of: &[(&str, bool)]) -> Vec<StorageClass> {
        let one = |(name, default): &(&str, bool)| {
            serde_json::from_value(
                json!({"metadata": {"name": name, "annotations": {DEFAULT_CLASS: default.to_string()}},
                "provisioner": "x"}),
            )
            .expect("a class")
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn without_a_default_class_the_next_command_is_printed() {
        assert_eq!(class(&classes(&[("a", true)]), None), []);
        let told = class(&classes(&[("a", false)]), None).remove(0).0;
        assert!(told.contains("there are a; run `outis install --storage-class NAME`"), "{told}");
        assert!(class(&[], None).remove(0).0.contains("the cluster has none"));
        assert!(
            class(&classes(&[("a", true)]), Some("b")).remove(0).0.starts_with("there is no StorageClass b")
        );
    }

    #[test]
    fn a_node_without_the_image_is_named() {
        let node = |name: &str, images: &[&str]| {
            serde_json::from_value(json!({"metadata": {"name": name},
                "status": {"images": [{"names": images}]}}))
            .expect("a node")
        };
        let nodes = [node("n1", &["localhost/outis/outis:1"]), node("n2", &[])];
        assert_eq!(without(&nodes, &[], "localhost/outis/outis:1"), ["n2"]);
        let pod = |started: bool| {
            let container = json!({"name": "c", "image": "localhost/outis/outis:1", "imageID": "", "ready": true,
                "restartCount": 0, "started": started});
            serde_json::from_value(json!({"metadata": {}, "spec": {"nodeName": "n2", "containers": []},
                "status": {"containerStatuses": [container]}}))
            .expect("a pod")
        };
        assert_eq!(without(&nodes, &[pod(false)], "localhost/outis/outis:1"), ["n2"]);
        assert!(without(&nodes, &[pod(true)], "localhost/outis/outis:1").is_empty());
    }

    #[test]
    fn nodes_of_another_architecture_are_passed_over_and_told_when_there_are_no_others() {
        let node = |architecture: &str| -> Node {
            let info: serde_json::Map<_, _> = [
                "bootID",
                "containerRuntimeVersion",
                "kernelVersion",
                "kubeProxyVersion",
                "kubeletVersion",
                "machineID",
                "operatingSystem",
                "osImage",
                "systemUUID",
            ]
            .into_iter()
            .map(|key| (key.to_owned(), json!("")))
            .chain([("architecture".to_owned(), json!(architecture))])
            .collect();
            serde_json::from_value(json!({"metadata": {"name": architecture}, "status": {"nodeInfo": info}}))
                .expect("a node")
        };
        let plan = crate::manifests::tests::plan();
        let (ours, other) = (node(architecture()), node("riscv64"));
        assert_eq!(without(std::slice::from_ref(&other), &[], &plan.image), [""; 0]);
        assert_eq!(runnable(&[ours, other.clone()], &plan), None);
        let told = runnable(&[other], &plan).expect("no node of ours").0;
        assert!(
            told.contains("nodes and the cluster has only riscv64; take a binary and image built"),
            "{told}"
        );
    }
}
