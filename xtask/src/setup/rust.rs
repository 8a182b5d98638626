//! The parts of the Rust toolchain that tests use.

use anyhow::{Result, bail};

use crate::tool::{Tool, found};

/// rustup's component and cargo's command.
const PARTS: [(&str, &str); 2] = [("rustfmt", "fmt"), ("clippy", "clippy")];

pub(super) fn missing() -> bool {
    absent().next().is_some()
}

fn absent() -> impl Iterator<Item = &'static str> {
    let lacks = |command: &str| Tool::cargo().args([command, "--version"]).run().is_err();
    PARTS.into_iter().filter(move |(_, command)| lacks(command)).map(|(part, _)| part)
}

pub(super) fn install() -> Result<()> {
    let parts: Vec<&str> = absent().collect();
    if !found("rustup") {
        bail!("the Rust toolchain has no {}, and there is no rustup to add it", parts.join(" and no "));
    }
    let add = Tool::new("rustup").args(["component", "add"]).args(&parts);
    add.hint("is rustup's server reachable? Else take a toolchain that has them").run()
}
