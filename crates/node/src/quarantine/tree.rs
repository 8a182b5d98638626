//! Where pods' cgroups are, in the hierarchy that network programs are attached to: version 2, alone or beside version 1.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use outis_model::name::PodUid;

use crate::cgroup;

/// CGROUP2_SUPER_MAGIC.
const VERSION_2: u64 = 0x6367_7270;
/// How deep pods' cgroups are looked for.
const DEPTH: usize = 8;

/// The tree, and the directories in which pods were found.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    parents: BTreeSet<PathBuf>,
}

impl Tree {
    /// The tree mounted at this directory or in its `unified`; `None` where there is none.
    pub(super) fn at(mounts: &Path) -> Option<Self> {
        let root = [mounts.to_owned(), mounts.join("unified")].into_iter().find(|path| is_version_2(path))?;
        Some(Self { root, parents: BTreeSet::new() })
    }

    /// The pod's own directory.
    pub(super) fn find(&mut self, pod: &PodUid) -> Option<PathBuf> {
        let known = |tree: &Self| tree.parents.iter().find_map(|parent| child(parent, pod));
        known(self).or_else(|| {
            let mut parents = BTreeSet::new();
            walk(&self.root, DEPTH, &mut parents);
            self.parents = parents;
            known(self)
        })
    }
}

fn is_version_2(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 == VERSION_2)
}

/// The pod's directory in one of its parents, by either of kubelet's drivers.
fn child(parent: &Path, pod: &PodUid) -> Option<PathBuf> {
    let slice = parent.file_name()?.to_str()?.strip_suffix(".slice");
    let name = match slice {
        Some(stem) => format!("{stem}-pod{}.slice", pod.as_str().replace('-', "_")),
        None => format!("pod{pod}"),
    };
    Some(parent.join(name)).filter(|path| path.is_dir())
}

/// Collects the directories that hold pods; what is below a pod is its own.
fn walk(dir: &Path, depth: usize, parents: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let path = entry.path();
        let name = entry.file_name();
        match name.to_str().is_some_and(cgroup::names_pod) {
            true => drop(parents.insert(dir.to_owned())),
            false if depth > 0 => walk(&path, depth - 1, parents),
            false => {}
        }
    }
}

/// A process of the pod, as our own `/proc` numbers it.
pub(super) fn process(pod: &Path) -> io::Result<Option<u32>> {
    let mut text = String::new();
    for dir in std::iter::once(pod.to_owned()).chain(below(pod)) {
        text.clear();
        // The list of one that is just going away cannot be read.
        let read =
            fs::File::open(dir.join("cgroup.procs")).and_then(|mut file| file.read_to_string(&mut text));
        let first = text.lines().filter_map(|line| line.parse().ok()).find(|pid| *pid != 0);
        if let (Ok(_), Some(pid)) = (read, first) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

fn below(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b5e3c1a-8d2f-4c6b-9a7e-1f2d3c4b5a69";

    #[test]
    fn pods_are_found_under_both_drivers_and_where_one_came_after_the_walk() {
        let root = tempfile::tempdir().expect("dir");
        let uid: PodUid = UID.parse().expect("uid");
        let mut tree = Tree { root: root.path().into(), parents: BTreeSet::new() };
        assert_eq!(tree.find(&uid), None);
        let other = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        let make = |path: String| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).expect("made");
            path
        };
        make(format!("outis-a/node1/kubepods/burstable/pod{other}/{}/pod{UID}", "ab".repeat(32)));
        assert_eq!(tree.find(&uid), None, "a container made it inside of its own");
        let plain = make(format!("outis-a/node1/kubepods/burstable/pod{UID}"));
        assert_eq!(tree.find(&uid), Some(plain.clone()));
        fs::remove_dir(&plain).expect("removed");
        let slice = make(format!(
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{}.slice",
            UID.replace('-', "_")
        ));
        assert_eq!(tree.find(&uid), Some(slice));
    }
}
