//! Kernel programs that no process holds: pinned, or attached to something that outlives who loaded them. What a
//! process holds goes with it; these would stay, and their maps with them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aya::programs::loaded_programs;

/// Their names and ids, over the whole machine.
pub(crate) async fn ownerless() -> Result<BTreeSet<String>> {
    tokio::task::spawn_blocking(look).await.context("the thread that looks at the kernel ended")?
}

fn look() -> Result<BTreeSet<String>> {
    // Listed before the holders are: what is loaded in between has a holder when it is looked for. One that is gone
    // again as it is asked for left nothing.
    let programs: Vec<(u32, String)> = loaded_programs()
        .flatten()
        .map(|program| (program.id(), program.name_as_str().unwrap_or_default().to_owned()))
        .collect();
    let held = held()?;
    // A container runtime's own, one for each container's devices, have no name.
    let ownerless = programs.into_iter().filter(|(id, name)| !name.is_empty() && !held.contains(id));
    Ok(ownerless.map(|(id, name)| format!("kernel program {name} {id}")).collect())
}

/// Programs the processes of this machine hold open, as `/proc/PID/fdinfo` says.
fn held() -> Result<BTreeSet<u32>> {
    let mut held = BTreeSet::new();
    for process in std::fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
        for info in std::fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(info.path()).unwrap_or_default();
            let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
            held.extend(ids.filter_map(|id| id.trim().parse::<u32>().ok()));
        }
    }
    Ok(held)
}
