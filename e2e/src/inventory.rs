//! Everything there is, before and after: API objects of every kind, and on the node files, mounts, links, rules,
//! kernel programs and processes that carry our name.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use tokio::process::Command;

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
        let gone = self.0.difference(&after.0).filter(|name| !name.starts_with("file "));
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
const LOOKS: [(&str, &str); 5] = [
    (
        "file",
        "ls -d /run/outis* /var/lib/outis-agent* /var/lib/kubelet/plugins/*outis* /var/lib/kubelet/plugins_registry/*outis* /sys/fs/bpf/outis* 2>/dev/null || true",
    ),
    ("mount", "grep -o '[^ ]*csi.outis.dev[^ ]*\\|[^ ]*/run/outis[^ ]*' /proc/self/mounts || true"),
    ("socket", "grep -o '/[^ ]*outis[^ ]*' /proc/net/unix | sort -u || true"),
    ("rule", "nft list ruleset 2>/dev/null | grep -i outis | grep -v 'outis_masq' || true"),
    (
        "process",
        "for dir in /proc/[0-9]*; do tr '\\0' ' ' < $dir/cmdline 2>/dev/null | grep -o '^/usr/bin/outis [a-z]*' | sed \"s#^#$(cut -d/ -f3 $dir/cgroup 2>/dev/null | head -1) #\"; done; true",
    ),
];

async fn on_node(world: &World) -> Result<BTreeSet<String>> {
    let Some(program) = &world.with.in_node else { return Ok(BTreeSet::new()) };
    let mut found = BTreeSet::new();
    for (what, look) in LOOKS {
        let done = Command::new(program).args(["sh", "-c", look]).output().await;
        let done = done.with_context(|| format!("cannot run {} to look at the node", program.display()))?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        found.extend(
            said.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{what} {}", line.trim())),
        );
    }
    Ok(found)
}
