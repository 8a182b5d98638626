//! From a task's cgroup path to its pod and container, as the kubelet lays them out.
//!
//! Layouts read: cgroupfs (`/kubepods/burstable/pod<uid>/<id>`), systemd
//! (`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_with_underscores>.slice/cri-containerd-<id>.scope`),
//! each below any prefix (a node that is itself a container) and relative (`/../..`), as a task in another cgroup
//! namespace is shown. A container may make cgroups of any name below its own, therefore the **first** pod from the
//! root counts and what lies deeper does not.

use outis_model::{ContainerId, PodUid};

/// Whose cgroup it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The pod, or the config hash of a static one.
    pub pod: PodUid,
    /// The container; none for the pod's own cgroup.
    pub container: Option<ContainerId>,
}

/// What `/proc/<pid>/cgroup` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// No hierarchy puts it in a pod.
    Host,
    /// Every hierarchy that puts it in a pod puts it in this one.
    Pod(Slot),
    /// The hierarchies contradict each other: somebody moved it.
    Contradiction,
}

/// Reads the text of `/proc/<pid>/cgroup`.
#[must_use]
pub fn said(text: &str) -> Said {
    let mut found: Option<Slot> = None;
    for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let Some(slot) = slot(path) else { continue };
        match &found {
            None => found = Some(slot),
            Some(held) if held.pod != slot.pod => return Said::Contradiction,
            // Some hierarchies end at the pod.
            Some(held) if held.container.is_none() => found = Some(slot),
            Some(held) if slot.container.is_some() && held.container != slot.container => {
                return Said::Contradiction;
            }
            Some(_) => {}
        }
    }
    found.map_or(Said::Host, Said::Pod)
}

/// Reads one path.
#[must_use]
pub fn slot(path: &str) -> Option<Slot> {
    let mut parts = path.split('/');
    let pod = parts.by_ref().find_map(pod)?;
    let container = parts.next().and_then(container);
    Some(Slot { pod, container })
}

/// `pod<uid>` or `kubepods[-<class>]-pod<uid_>.slice`.
fn pod(part: &str) -> Option<PodUid> {
    if let Some(uid) = part.strip_prefix("pod") {
        return known(uid).then(|| uid.parse().ok()).flatten();
    }
    let slice = part.strip_suffix(".slice")?;
    // Nested kubelets prefix the name (`kubelet-kubepods-...`).
    let at = slice.find("kubepods")?;
    let (_, uid) = slice[at..].rsplit_once("-pod")?;
    let uid = uid.replace('_', "-");
    known(&uid).then(|| uid.parse().ok()).flatten()
}

/// A UID with its dashes, or a config hash: 32 hexadecimal digits either way.
fn known(uid: &str) -> bool {
    let digits = uid.bytes().filter(|byte| *byte != b'-');
    let dashes = uid.bytes().filter(|byte| *byte == b'-').count();
    (dashes == 4 || dashes == 0)
        && digits.clone().count() == 32
        && digits.clone().all(|byte| byte.is_ascii_hexdigit())
}

/// `<id>`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `docker-<id>.scope`.
fn container(part: &str) -> Option<ContainerId> {
    let bare = match part.strip_suffix(".scope") {
        Some(scope) => scope.rsplit_once('-').map_or(scope, |(_, id)| id),
        None => part,
    };
    // `crio-conmon-<id>.scope` is the monitor beside the container, not the container.
    if part.starts_with("crio-conmon-") || bare.len() != 64 {
        return None;
    }
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    const HASH: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn id() -> String {
        "ab".repeat(32)
    }

    fn read(path: &str) -> Option<(String, Option<String>)> {
        slot(path).map(|slot| (slot.pod.to_string(), slot.container.map(|id| id.to_string())))
    }

    #[test]
    fn every_layout_is_read() {
        let id = id();
        let under = UID.replace('-', "_");
        let whole = Some((UID.to_owned(), Some(id.clone())));
        for path in [
            format!("/kubepods/besteffort/pod{UID}/{id}"),
            format!("/kubepods/pod{UID}/{id}"),
            format!("/outis-e2e/node1/kubepods/burstable/pod{UID}/{id}"),
            format!("/../../burstable/pod{UID}/{id}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope"),
            format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{under}.slice/cri-containerd-{id}.scope"
            ),
            format!("/system.slice/k3s.service/kubepods/besteffort/pod{UID}/{id}"),
            format!("/kubepods/besteffort/pod{UID}/{id}/init.scope/deeper"),
        ] {
            assert_eq!(read(&path), whole, "{path}");
        }
        assert_eq!(
            read(&format!("/kubepods/burstable/pod{HASH}/{id}")),
            Some((HASH.to_owned(), Some(id.clone())))
        );
        assert_eq!(read(&format!("/kubepods/burstable/pod{UID}")), Some((UID.to_owned(), None)));
        assert_eq!(
            read(&format!("/kubepods.slice/kubepods-pod{under}.slice/crio-conmon-{id}.scope")),
            Some((UID.to_owned(), None))
        );
        for path in [
            "/",
            "/user.slice",
            "/system.slice/containerd.service",
            "/../../../..",
            "/podman/x",
            "/pod",
            "/podlike/x",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn a_container_cannot_pretend_to_be_another_pod_below_its_own_cgroup() {
        let other = "11111111-2222-3333-4444-555555555555";
        let path = format!("/kubepods/pod{UID}/{}/kubepods/pod{other}/{}", id(), "cd".repeat(32));
        assert_eq!(read(&path), Some((UID.to_owned(), Some(id()))));
    }

    #[test]
    fn hierarchies_must_agree() {
        let other = "11111111-2222-3333-4444-555555555555";
        let line = |number: u8, uid: &str| format!("{number}:c{number}:/kubepods/pod{uid}/{}\n", id());
        let agreed = format!("{}{}0::/\n", line(3, UID), line(2, UID));
        assert!(matches!(said(&agreed), Said::Pod(slot) if slot.pod.as_str() == UID));
        assert_eq!(said(&format!("{}{}", line(3, UID), line(2, other))), Said::Contradiction);
        assert_eq!(said("0::/user.slice/session-1.scope\n"), Said::Host);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_left(text in ".{0,200}") {
            let _ = said(&text);
        }
    }
}
