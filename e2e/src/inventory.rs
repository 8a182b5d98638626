//! Everything there is, before and after: API objects of every kind, and on the node files, mounts, links, rules,
//! kernel programs and processes that carry our name.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};

use crate::world::World;

/// Kinds that come and go by themselves.
const PASSING: [&str; 5] = ["Lease", "EndpointSlice", "Endpoints", "ComponentStatus", "Event"];

/// Names of everything that was found.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Inventory(BTreeSet<String>);

impl Inventory {
    /// Looks everywhere.
    pub(crate) async fn take(world: &World) -> Result<Self> {
        let mut found = objects(world).await?;
        found.extend(on_node(world).await?);
        Ok(Self(found))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is there now and was not, and the reverse. Our own files that lay on the node before, from a run that
    /// was broken off, may go.
    pub(crate) fn differences(&self, after: &Self) -> Vec<String> {
        let new = after.0.difference(&self.0).map(|name| format!("+ {name}"));
        // And kernel programs of another cluster whose holder ended while they were counted.
        let may_go = |name: &&String| name.starts_with("file ") || name.starts_with("kernel program ");
        let gone = self.0.difference(&after.0).filter(|name| !may_go(name));
        let gone = gone.map(|name| format!("- {name}"));
        new.chain(gone).collect()
    }
}

async fn objects(world: &World) -> Result<BTreeSet<String>> {
    let discovery =
        Discovery::new(world.client.clone()).run().await.context("cannot ask for the kinds there are")?;
    let mut found = BTreeSet::new();
    for (resource, capabilities) in discovery.groups().flat_map(|group| group.recommended_resources()) {
        if !capabilities.supports_operation(verbs::LIST) || PASSING.contains(&resource.kind.as_str()) {
            // Events of ours are looked for by name.
            if resource.kind != "Event" || !resource.group.is_empty() {
                continue;
            }
        }
        let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &resource);
        let Ok(list) = api.list(&ListParams::default()).await else { continue };
        for object in list.items {
            let name = object.metadata.name.unwrap_or_default();
            let namespace = object.metadata.namespace.unwrap_or_default();
            let passing = resource.kind == "Event" && !name.starts_with("outis.");
            if !passing {
                found.insert(format!("{}/{} {namespace}/{name}", resource.group, resource.kind));
            }
        }
    }
    Ok(found)
}

/// Lines of commands that are run on the node.
const LOOKS: [(&str, &str); 6] = [
    (
        "file",
        "ls -d /run/outis* /var/lib/outis-agent* 2>/dev/null; for dir in $(grep -o ' /[^ ]*kubelet ' /proc/mounts); do \
         ls -d $dir/plugins/*outis* $dir/plugins_registry/*outis* 2>/dev/null; done; true",
    ),
    ("pin", "find /sys/fs/bpf -mindepth 1"),
    ("mount", "grep -o '[^ ]*csi.outis.dev[^ ]*\\|[^ ]*/run/outis[^ ]*' /proc/self/mounts || true"),
    ("socket", "grep -o '/[^ ]*outis[^ ]*' /proc/net/unix | sort -u || true"),
    ("rule", "nft list ruleset 2>/dev/null | grep -i outis | grep -v 'outis_masq' || true"),
    (
        "process",
        "for dir in /proc/[0-9]*; do own $dir && tr '\\0' ' ' < $dir/cmdline 2>/dev/null | grep -o '^/usr/bin/outis [a-z]*'; done; true",
    ),
];

async fn on_node(world: &World) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (what, look) in LOOKS {
        for (number, said) in world.on_nodes(look).await?.iter().enumerate() {
            let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
            found.extend(lines.map(|line| format!("{what} {line} on node {}", number + 1)));
        }
    }
    if world.with.in_node.is_some() {
        found.extend(crate::kernel::ownerless().await?);
    }
    Ok(found)
}
