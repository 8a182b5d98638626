//! `outis install`: nothing is changed before everything that would stop it half-way was looked at.

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use outis_cluster::diagnose::PartState;
use outis_cluster::manifests::{self, Plan, Storage};
use outis_cluster::preflight::{self, Other};

use crate::arguments::{Cluster, Install, Output};
use crate::exit::{FAILED, FINE};

/// How long nodes may take to report an image.
const REPORTED: Duration = Duration::from_secs(45);

/// Installs, and waits until every part is ready.
pub(super) async fn run(install: &Install, cluster: &Cluster) -> Result<u8> {
    if install.dry_run {
        return dry(install, cluster);
    }
    let begun = Instant::now();
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let mut plan = plan(install, cluster);
    let other = if install.replace { Other::Replace } else { Other::Refuse };
    let mut obstacles =
        preflight::obstacles(&client, &plan, other).await.context("cannot look at the cluster")?;
    if obstacles.is_empty() {
        for load in &install.load {
            load::run(load, install.archive.as_deref(), &plan.image).await?;
        }
        if install.load.is_empty() {
            obstacles.extend(preflight::image(&client, &plan, REPORTED).await?);
        }
    }
    if !obstacles.is_empty() {
        let told: Vec<String> = obstacles.into_iter().map(|obstacle| format!("  {}", obstacle.0)).collect();
        bail!("nothing was changed, because:\n{}", told.join("\n"));
    }
    of_cluster(&client, install, &mut plan).await.context("cannot look at nodes and volume")?;
    let step = |what: &str| println!("{:>6.1} s  {what}", begun.elapsed().as_secs_f64());
    let done = outis_cluster::install::install(&client, &plan, &step).await?;
    println!(
        "{:>6.1} s  {} objects created, {} changed, {} as they were",
        begun.elapsed().as_secs_f64(),
        done.created.len(),
        done.changed.len(),
        done.unchanged
    );
    if install.timeout == 0 {
        return Ok(FINE);
    }
    wait(&client, &plan, begun, Duration::from_secs(install.timeout)).await
}

fn dry(install: &Install, cluster: &Cluster) -> Result<u8> {
    let objects = manifests::all(&plan(install, cluster));
    match install.output {
        Output::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
            println!("{}", serde_json::to_string_pretty(&list)?);
        }
        _ => println!("{}", serde_saphyr::to_string_multiple(&objects)?),
    }
    Ok(FINE)
}

fn plan(install: &Install, cluster: &Cluster) -> Plan {
    Plan {
        namespace: cluster.system_namespace.clone(),
        image: install.image.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        trust_domain: install.trust_domain.clone(),
        storage: match &install.volume {
            Some(name) => Storage::Volume { name: name.clone(), class: String::new() },
            None => Storage::Class(install.storage_class.clone()),
        },
        kubelet_dir: install.kubelet_dir.clone().unwrap_or_else(|| "/var/lib/kubelet".into()),
        tolerations: install.toleration.clone(),
        node_selector: install.node_selector.iter().cloned().collect::<BTreeMap<_, _>>(),
        priority_class: install.priority_class.clone(),
        user_groups: install.users.clone(),
        owner: None,
    }
}

/// What only the cluster can tell: where its kubelets keep their things, and a volume's class.
async fn of_cluster(client: &Client, install: &Install, plan: &mut Plan) -> Result<()> {
    if install.kubelet_dir.is_none() {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        plan.kubelet_dir = kubelet_dir(&nodes.items)?;
    }
    if let Storage::Volume { name, class } = &mut plan.storage
        && let Some(volume) = Api::<PersistentVolume>::all(client.clone()).get_opt(name).await?
    {
        *class = volume.spec.and_then(|spec| spec.storage_class_name).unwrap_or_default();
    }
    Ok(())
}

/// Distributions that keep kubelet's directory elsewhere say who they are by a label of their nodes; k3s writes its
/// arguments down there.
fn kubelet_dir(nodes: &[Node]) -> Result<String> {
    let label = |key: &str| nodes.iter().any(|node| node.labels().keys().any(|found| found.starts_with(key)));
    let roots: BTreeSet<Option<String>> = nodes.iter().map(k3s_root).collect();
    let roots: Vec<String> = match roots.len() {
        // It is mounted from every node, with its mounts: a node alone may not say what that is.
        0 | 1 => roots.into_iter().flatten().collect(),
        _ => bail!(
            "nothing was changed: the nodes keep kubelet's directory in different places; name the one of all with \
             --kubelet-dir"
        ),
    };
    if let Some(dir) = roots.into_iter().next() {
        return Ok(dir);
    }
    if label("node.k0sproject.io/") {
        return Ok("/var/lib/k0s/kubelet".into());
    }
    if label("microk8s.io/") {
        return Ok("/var/snap/microk8s/common/var/lib/kubelet".into());
    }
    Ok("/var/lib/kubelet".into())
}

/// `--kubelet-arg root-dir=DIR` among a k3s node's arguments, a JSON list in an annotation.
fn k3s_root(node: &Node) -> Option<String> {
    let arguments = node.annotations().get("k3s.io/node-args")?;
    let arguments: Vec<String> = serde_json::from_str(arguments).ok()?;
    arguments.iter().find_map(|argument| {
        let given = argument.strip_prefix("--kubelet-arg=").unwrap_or(argument);
        let dir = given.strip_prefix("root-dir=")?;
        let sound = dir.starts_with('/')
            && !dir.trim_matches('/').is_empty()
            && !dir.split('/').any(|part| part == "..");
        sound.then(|| dir.to_owned())
    })
}

/// Waits for the parts, and says of each what holds it up whenever that changes.
async fn wait(client: &Client, plan: &Plan, begun: Instant, patience: Duration) -> Result<u8> {
    let mut told: BTreeMap<String, PartState> = BTreeMap::new();
    loop {
        let states = outis_cluster::install::state(client, plan.namespace.as_str()).await?;
        for state in &states {
            if told.get(&state.part) != Some(state) {
                told.insert(state.part.clone(), state.clone());
                println!("{:>6.1} s  {}", begun.elapsed().as_secs_f64(), line(state));
            }
        }
        if states.len() >= 3 && states.iter().all(PartState::whole) {
            println!(
                "\nOutis is ready. `outis status` shows what is in force, `outis events -w` what happens."
            );
            return Ok(FINE);
        }
        if begun.elapsed() > patience {
            eprintln!("not ready after {} s:", patience.as_secs());
            states.iter().filter(|state| !state.whole()).for_each(|state| eprintln!("  {}", line(state)));
            return Ok(FAILED);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn line(state: &PartState) -> String {
    let why = state.stuck.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{} {}/{} ready{why}", state.part, state.ready, state.wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kubelets_directory_is_where_the_distribution_keeps_it() {
        let of = |metadata: serde_json::Value| {
            kubelet_dir(&[serde_json::from_value(json!({"metadata": metadata})).expect("a node")])
                .expect("one")
        };
        assert_eq!(of(json!({})), "/var/lib/kubelet");
        let k3s = |arguments: &str| of(json!({"annotations": {"k3s.io/node-args": arguments}}));
        assert_eq!(k3s(r#"["server", "--disable", "traefik"]"#), "/var/lib/kubelet");
        assert_eq!(k3s(r#"["server", "--kubelet-arg", "root-dir=/data/kubelet"]"#), "/data/kubelet");
        assert_eq!(k3s(r#"["agent", "--kubelet-arg=root-dir=/data/kubelet"]"#), "/data/kubelet");
        assert_eq!(
            of(json!({"labels": {"node.k0sproject.io/role": "control-plane"}})),
            "/var/lib/k0s/kubelet"
        );
        assert_eq!(
            k3s(r#"["server", "--kubelet-arg=root-dir=/"]"#),
            "/var/lib/kubelet",
            "never the node's root"
        );
        let node = |name: &str, arguments: &str| -> Node {
            let annotations = json!({"k3s.io/node-args": arguments});
            serde_json::from_value(json!({"metadata": {"name": name, "annotations": annotations}}))
                .expect("a node")
        };
        let two = [node("a", r#"["--kubelet-arg=root-dir=/data"]"#), node("b", "[]")];
        assert!(kubelet_dir(&two).expect_err("they differ").to_string().contains("--kubelet-dir"));
        let snap = "/var/snap/microk8s/common/var/lib/kubelet";
        assert_eq!(of(json!({"labels": {"microk8s.io/cluster": "true"}})), snap);
    }
}
