//! What a cgroup's path says about containers.
//!
//! Layouts that are read, alone or below any prefix (a node that is a container itself, a cgroup
//! namespace seen from outside):
//!
//! - `kubepods/burstable/pod<uid>/<container>` (kubelet with the cgroupfs driver);
//! - `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/cri-containerd-<container>.scope`
//!   (systemd driver; `crio-`, `docker-`, `libpod-` alike), also as `...:cri-containerd:<container>`;
//! - `docker/<container>`, `system.slice/docker-<container>.scope` and the like: no pod.
//!
//! The outermost pod and the first container below it count. What a container makes inside of its own
//! cgroup does not change who it is: a privileged one may write directories named like another pod's.
//! On a node that is a container itself, [`NodePrefix`] takes off what is above the node first.

use outis_model::name::{ContainerId, PodUid};

/// Where a task is anchored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anchor {
    /// The pod, if it is one's: its UID, or the config hash of a static pod.
    pub pod: Option<PodUid>,
    /// The container; absent in the pod's own cgroup.
    pub container: Option<ContainerId>,
}

impl Anchor {
    /// Reads a cgroup's path. `None` for one that is no container's.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let elements: Vec<&str> = path.split(['/', ':']).collect();
        let pod = elements.iter().enumerate().find_map(|(at, element)| Some((at, pod(element)?)));
        let below = pod.as_ref().map_or(0, |(at, _)| at + 1);
        let container = elements.iter().skip(below).find_map(|element| container(element));
        (pod.is_some() || container.is_some()).then(|| Self { pod: pod.map(|(_, uid)| uid), container })
    }

    /// Reads `/proc/<pid>/cgroup`: of all hierarchies the one that says most.
    #[must_use]
    pub fn of_proc(text: &str) -> Option<Self> {
        let anchors = text.lines().filter_map(|line| Self::of(line.splitn(3, ':').nth(2)?));
        anchors.max_by_key(|anchor| (anchor.pod.is_some(), anchor.container.is_some()))
    }
}

/// What lies above a node that is a container itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NodePrefix(String);

impl NodePrefix {
    /// From the path of a process in a pod of this node, ours for instance: everything down to the last
    /// container above the kubelet's own tree.
    pub(crate) fn of(path: &str) -> Self {
        let above = path.find("kubepods").map_or("", |at| &path[..at]);
        let mut end = 0;
        for (at, _) in above.match_indices('/') {
            let start = above[..at].rfind('/').map_or(0, |slash| slash + 1);
            if container(&above[start..at]).is_some() {
                end = at;
            }
        }
        Self(above[..end].to_owned())
    }

    /// A path as the node sees it; one that is not below the node stays as it is.
    pub(crate) fn strip<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.0).unwrap_or(path)
    }
}

/// Whether a directory is called as kubelet calls a pod's, with any of its roots: `kubelet-kubepods-...` too.
pub(crate) fn names_pod(name: &str) -> bool {
    pod(name.find("kubepods").map_or(name, |at| &name[at..])).is_some()
}

/// A pod's element: `pod<uid>`, or `kubepods[-qos]-pod<uid_with_underscores>.slice`.
fn pod(element: &str) -> Option<PodUid> {
    let slice = element.strip_suffix(".slice").filter(|name| name.starts_with("kubepods"));
    let uid = match slice {
        Some(name) => name.rsplit_once("-pod")?.1.replace('_', "-"),
        None => element.strip_prefix("pod")?.to_owned(),
    };
    // A UID, or the 32 digits of a config hash; `podman` or `pod1` is neither.
    let hexadecimal = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    (hexadecimal == 32 && matches!(uid.len(), 32 | 36)).then(|| uid.parse().ok()).flatten()
}

/// A container's element: its id, alone, behind a runtime's prefix, or in a scope.
fn container(element: &str) -> Option<ContainerId> {
    let name = element.strip_suffix(".scope").unwrap_or(element);
    let name = name.rsplit_once(':').map_or(name, |(_, id)| id);
    let name = name.rsplit_once('-').map_or(name, |(_, id)| id);
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (name.len() == 64 && hexadecimal).then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b5e3c1a-8d2f-4c6b-9a7e-1f2d3c4b5a69";
    const HASH: &str = "0123456789abcdef0123456789abcdef";

    fn check(path: &str, pod: Option<&str>, with_container: bool) {
        let id = "4e".repeat(32);
        let path = path.replace("CID", &id).replace("UID", UID).replace("U_D", &UID.replace('-', "_"));
        let found = Anchor::of(&path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(found.pod.as_ref().map(PodUid::as_str), pod, "{path}");
        assert_eq!(found.container.map(|id| id.to_string()), with_container.then_some(id), "{path}");
    }

    #[test]
    fn layouts_of_kubelets_and_runtimes() {
        let uid = Some(UID);
        check("/kubepods/burstable/podUID/CID", uid, true);
        check("/kubepods/podUID/CID", uid, true);
        check("/kubepods/besteffort/podUID", uid, false);
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-CID.scope",
            uid,
            true,
        );
        check("/kubepods.slice/kubepods-podU_D.slice/crio-CID.scope", uid, true);
        check("/kubepods.slice/kubepods-podU_D.slice/crio-conmon-CID.scope", uid, true);
        check("/kubepods.slice/kubepods-podU_D.slice/docker-CID.scope", uid, true);
        check(
            "/system.slice/containerd.service/kubepods-burstable-podU_D.slice:cri-containerd:CID",
            uid,
            true,
        );
        check("/docker/CID", None, true);
        check("/system.slice/docker-CID.scope", None, true);
        check("/machine.slice/libpod-CID.scope/container", None, true);
    }

    #[test]
    fn static_pods_have_a_hash() {
        check(&format!("/kubepods/burstable/pod{HASH}/CID"), Some(HASH), true);
        let slice = format!("/kubepods.slice/kubepods-pod{HASH}.slice/cri-containerd-CID.scope");
        check(&slice, Some(HASH), true);
    }

    #[test]
    fn prefixes_and_inner_cgroups_change_nothing() {
        let uid = Some(UID);
        check("/docker/CID/kubelet/kubepods/burstable/podUID/CID", uid, true);
        check(
            "/kubelet.slice/kubelet-kubepods.slice/kubepods-podU_D.slice/cri-containerd-CID.scope",
            uid,
            true,
        );
        check("/kubepods/burstable/podUID/CID/init.scope", uid, true);
        check("/kubepods/burstable/podUID/CID/system.slice/sshd.service", uid, true);
        check("/../../besteffort/podUID/CID", uid, true);
    }

    #[test]
    fn a_container_cannot_name_itself_another_pod() {
        let other = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        check(&format!("/kubepods/burstable/podUID/CID/pod{other}/{}", "ab".repeat(32)), Some(UID), true);
    }

    #[test]
    fn a_node_in_a_container_is_looked_at_from_inside() {
        let node = "cd".repeat(32);
        let own = format!(
            "/docker/{node}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID}.slice/x.scope"
        );
        let prefix = NodePrefix::of(&own);
        assert_eq!(
            prefix.strip(&format!("/docker/{node}/system.slice/containerd.service")),
            "/system.slice/containerd.service"
        );
        assert_eq!(Anchor::of(prefix.strip(&format!("/docker/{node}/init.scope"))), None);
        assert_eq!(NodePrefix::of("/kubepods/burstable/x").strip("/a"), "/a");
        assert_eq!(NodePrefix::of("/init.scope").strip("/a"), "/a");
    }

    #[test]
    fn the_node_itself_is_no_container() {
        for path in [
            "/",
            "",
            "/init.scope",
            "/system.slice/sshd.service",
            "/user.slice/podman",
            "/kubepods/burstable",
        ] {
            assert_eq!(Anchor::of(path), None, "{path}");
        }
    }

    #[test]
    fn of_all_hierarchies_the_one_that_says_most() {
        let text = format!("12:cpu:/\n4:memory:/kubepods/pod{UID}/{}\n0::/\n", "4e".repeat(32));
        let anchor = Anchor::of_proc(&text).expect("memory tells");
        assert_eq!(anchor.pod.map(|uid| uid.to_string()).as_deref(), Some(UID));
        assert_eq!(Anchor::of_proc("0::/init.scope\n"), None);
    }
}
