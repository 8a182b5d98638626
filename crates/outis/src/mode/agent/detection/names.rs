//! Names of users and groups: the node's own, and each container's, from the files its processes see.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use outis_detect::{Accounts, Knowledge};
use outis_model::event::Workload;

/// Containers whose names are held at most, per worker.
const CONTAINERS: usize = 1024;
/// Bytes read of such a file.
const BYTES: u64 = 256 << 10;

/// What one worker knows.
pub(super) struct Names {
    knowledge: Arc<Knowledge>,
}

impl Names {
    /// The node's own, as process 1 sees them.
    pub(super) fn new(node: &str) -> Self {
        let knowledge =
            Knowledge { hostname: Some(node.to_owned()), node: accounts(1), ..Knowledge::default() };
        Self { knowledge: Arc::new(knowledge) }
    }

    /// Reads a container's files when it is seen for the first time; `None` when nothing is new.
    pub(super) fn of_container(&mut self, workload: &Workload, pid: u32) -> Option<Arc<Knowledge>> {
        let known = &self.knowledge.containers;
        if known.contains_key(&workload.container) {
            return None;
        }
        let found = accounts(pid);
        let knowledge = Arc::make_mut(&mut self.knowledge);
        if knowledge.containers.len() >= CONTAINERS {
            // Rare, and only names: those still running are read again.
            knowledge.containers.clear();
        }
        knowledge.containers.insert(workload.container.clone(), found);
        Some(Arc::clone(&self.knowledge))
    }
}

/// Users and groups as a process sees them; none where they cannot be read.
fn accounts(pid: u32) -> Accounts {
    let read = |name: &str| {
        let mut text = String::new();
        let opened = File::open(Path::new("/proc").join(pid.to_string()).join("root").join("etc").join(name));
        let _ = opened.and_then(|file| file.take(BYTES).read_to_string(&mut text));
        named(&text)
    };
    Accounts { users: read("passwd"), groups: read("group") }
}

/// `name:x:number:...`, as passwd(5) and group(5) have it.
fn named(text: &str) -> BTreeMap<u32, String> {
    let line = |line: &str| {
        let mut parts = line.split(':');
        let (name, number) = (parts.next()?, parts.nth(1)?.parse().ok()?);
        Some((number, name.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_that_are_none_are_left_out() {
        let read = super::named("root:x:0:0:root:/:/bin/sh\nbroken\nweb:x:33:33::/:\nbad:x:y:\n");
        assert_eq!(read.into_iter().collect::<Vec<_>>(), [(0, "root".to_owned()), (33, "web".to_owned())]);
    }
}
