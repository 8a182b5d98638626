//! What we build upon: licences, unwanted crates, sources, known holes. The rules are in `deny.toml`.

use anyhow::{Context, Result};

use crate::places::root;
use crate::setup::tools::DENY;
use crate::tool::Tool;

/// What stands for itself: the workspace, and the kernel programs, which another compiler builds.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "ebpf/probes/Cargo.toml"];

/// What can be told from the lock files and the crates themselves.
pub(crate) fn check() -> Result<()> {
    MANIFESTS.iter().try_for_each(|manifest| {
        let checked = deny(manifest, &["check", "licenses", "bans", "sources"]);
        checked.hint("the rules are in deny.toml").run().with_context(|| format!("about {manifest}"))
    })
}

/// Known holes in dependencies. The outer error is why nobody could look: the list of them lies on a server
/// that not every machine reaches.
pub(crate) fn advisories() -> Result<Result<()>> {
    let fetched = deny(MANIFESTS[0], &["fetch", "db"]).output().ok();
    fetched.context("the list of them cannot be fetched here")?;
    let look = |manifest: &&str| deny(manifest, &["check", "--disable-fetch", "advisories"]).run();
    Ok(MANIFESTS.iter().try_for_each(look))
}

fn deny(manifest: &str, arguments: &[&str]) -> Tool {
    let tool = Tool::new(DENY.path()).args(["--log-level", "warn", "--config", "deny.toml"]);
    tool.args(["--manifest-path", manifest]).args(arguments).at(&root())
}
