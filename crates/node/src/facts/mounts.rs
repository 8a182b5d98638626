//! File systems the sensor looks at.

use std::path::Path;

use super::{Fact, text};

/// Mount points by type, as `/proc/self/mounts` lists them.
pub(super) struct Mounts(Vec<(String, String)>);

pub(super) fn read(root: &Path) -> Mounts {
    let listed = text(&root.join("proc/self/mounts")).unwrap_or_default();
    let mount = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        Some((columns.next()?.to_owned(), columns.next()?.to_owned()))
    };
    Mounts(listed.lines().filter_map(mount).collect())
}

impl Mounts {
    fn at(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|(_, found)| found == kind).map(|(at, _)| at.as_str())
    }
}

pub(super) fn cgroups(mounts: &Mounts) -> Fact {
    let name = "cgroup";
    match (mounts.at("cgroup"), mounts.at("cgroup2")) {
        (None, Some(at)) => {
            Fact::fine(name, "v2", format!("containers are told apart by the v2 hierarchy at {at}"))
        }
        (Some(_), Some(_)) => Fact::fine(
            name,
            "hybrid",
            "containers are told apart by a v1 controller's hierarchy; v2 is mounted beside it",
        ),
        (Some(_), None) => Fact::fine(name, "v1", "containers are told apart by a v1 controller's hierarchy"),
        (None, None) => Fact::limited(
            name,
            "none",
            "no cgroup hierarchy is mounted here; processes cannot be attested to pods",
        )
        .fix("mount the node's /sys/fs/cgroup into the agent"),
    }
}

/// `mounting`: whether we may mount it ourselves, if that is known.
pub(super) fn tracefs(mounts: &Mounts, mounting: Option<bool>) -> Fact {
    let (name, fix) = ("tracefs", "on the node: mount -t tracefs tracefs /sys/kernel/tracing");
    match (mounts.at("tracefs"), mounting) {
        (Some(at), _) => Fact::fine(name, at, "syscall tracepoints can be attached"),
        (None, Some(false)) => Fact::missing(
            name,
            "not mounted",
            "syscall tracepoints cannot be attached, and the sensor may not mount it (CAP_SYS_ADMIN)",
        )
        .fix(fix),
        (None, _) => {
            Fact::limited(name, "not mounted", "the sensor mounts it when it starts and may").fix(fix)
        }
    }
}

pub(super) fn bpffs(mounts: &Mounts) -> Fact {
    let name = "bpffs";
    match mounts.at("bpf") {
        Some(at) => Fact::fine(name, at, "what must outlive the agent can be pinned"),
        None => Fact::limited(
            name,
            "not mounted",
            "the sensor pins nothing and runs without it; enforcement that outlives the agent needs it",
        )
        .fix("mount -t bpf bpf /sys/fs/bpf"),
    }
}
