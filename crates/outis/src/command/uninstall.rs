//! `outis uninstall`: first what could stand in others' way.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};
use outis_cluster::manifests::{Plan, Storage};
use outis_cluster::uninstall::{Depth, uninstall};

use crate::arguments::{Cluster, Uninstall};
use crate::exit::FINE;

/// Takes everything out.
pub(super) async fn run(arguments: &Uninstall, cluster: &Cluster) -> Result<u8> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let home = cluster.system_namespace.as_str();
    let owner = outis_cluster::install::home(&client, home).await.context("cannot look at the namespace")?;
    if owner.is_none() {
        println!("there is no namespace {home}; what is left elsewhere is taken out");
    }
    let depth = if arguments.purge { Depth::Purge } else { Depth::Parts };
    let mounting = outis_cluster::uninstall::mounting(&client, home)
        .await
        .context("cannot look for pods that use us")?;
    if !mounting.is_empty() && !arguments.force {
        bail!(
            "nothing was changed: {} pods mount csi.outis.dev and could not end without it: {}; delete them or take the \
             volume out of them first, or use --force",
            mounting.len(),
            mounting.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        );
    }
    confirm(arguments, home)?;
    let plan = Plan {
        namespace: cluster.system_namespace.clone(),
        image: image(&client, home)
            .await
            .unwrap_or_else(|| concat!("localhost/outis/outis:", env!("CARGO_PKG_VERSION")).into()),
        version: env!("CARGO_PKG_VERSION").into(),
        trust_domain: "cluster.local".parse().expect("a name"),
        storage: Storage::Class(None),
        kubelet_dir: "/var/lib/kubelet".into(),
        tolerations: vec![],
        node_selector: BTreeMap::new(),
        priority_class: "system-node-critical".into(),
        // So that their bindings are among what is taken out.
        user_groups: vec!["-".into()],
        owner,
    };
    let gone = uninstall(&client, &plan, depth, &|step| println!("{step}")).await?;
    println!("{} objects taken out", gone.len());
    if depth == Depth::Parts {
        println!(
            "definitions, policies, settings, the store's volume and namespace {home} stay; `outis uninstall --purge` takes \
             them too"
        );
    }
    Ok(FINE)
}

/// The image the nodes have.
async fn image(client: &kube::Client, home: &str) -> Option<String> {
    let scene = outis_cluster::install::scene(client, home).await.ok()?;
    let pod = scene.daemon_sets.into_iter().next()?.spec.template.spec?;
    pod.containers.into_iter().next()?.image
}

fn confirm(arguments: &Uninstall, home: &str) -> Result<()> {
    if arguments.yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let what = if arguments.purge { ", its records and every policy" } else { "" };
    print!("Take Outis{what} out of namespace {home}? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}
