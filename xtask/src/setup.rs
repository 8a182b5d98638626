//! Installing what the project needs, once.

pub(crate) mod go;
pub(crate) mod guest;
mod packages;
mod rust;
pub(crate) mod tools;

use std::io::IsTerminal;

use anyhow::{Result, bail};

use crate::ledger::Ledger;
use tools::{BPF_LINKER, DENY};

/// What it is installed for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// The binary and its image, for a cluster that is there.
    Build,
    /// The demo on a cluster of our own alone, which is not to wait for what only tests need.
    Demo,
    /// Everything.
    All,
}

/// Something to install that is no package.
struct Piece {
    name: &'static str,
    why: &'static str,
    scope: Scope,
    missing: fn() -> bool,
    install: fn() -> Result<()>,
}

/// In this order: what others need first, what only tests need last.
const PIECES: &[Piece] = &[
    Piece {
        name: "Go",
        why: "building the test cluster (from PyPI: the machine has none, or one that is too old)",
        scope: Scope::Demo,
        missing: go::missing,
        install: go::install,
    },
    Piece {
        name: "bpf-linker",
        why: "linking kernel programs (built by cargo)",
        scope: Scope::Build,
        missing: || BPF_LINKER.missing(),
        install: || BPF_LINKER.install(),
    },
    Piece {
        name: "cluster binaries",
        why: "Kubernetes from its sources (about 11 minutes of two cores)",
        scope: Scope::Demo,
        missing: crate::cluster::missing,
        install: crate::cluster::build,
    },
    Piece {
        name: "cargo-deny",
        why: "licences and sources of dependencies (built by cargo)",
        scope: Scope::All,
        missing: || DENY.missing(),
        install: || DENY.install(),
    },
    Piece {
        name: "guest kernel",
        why: "guests that are cut off (Debian's package, unpacked; this machine's kernel stays)",
        scope: Scope::All,
        missing: guest::missing,
        install: guest::install,
    },
    Piece {
        name: "rustfmt, clippy",
        why: "lints (the toolchain's components)",
        scope: Scope::All,
        missing: rust::missing,
        install: rust::install,
    },
];

/// Installs what is missing.
pub(crate) fn run(scope: Scope, yes: bool) -> Result<()> {
    let packages = packages::missing(scope);
    let wanted = PIECES.iter().filter(|piece| scope >= piece.scope);
    let pieces: Vec<&Piece> = wanted.filter(|piece| (piece.missing)()).collect();
    if packages.is_empty() && pieces.is_empty() {
        println!("setup: everything is there");
        return Ok(());
    }
    println!(
        "setup will install, what is no package of the system under {}:",
        crate::places::cache().display()
    );
    let named = packages.iter().map(|package| (package.name, package.why));
    for (name, why) in named.chain(pieces.iter().map(|piece| (piece.name, piece.why))) {
        println!("  {name:<24} {why}");
    }
    agree(yes)?;
    let mut ledger = Ledger::default();
    if !packages.is_empty() {
        ledger.step("packages", || packages::install(&packages))?;
    }
    // One that fails keeps no other from being installed.
    let mut failed = Vec::new();
    for piece in pieces {
        if let Err(error) = ledger.step(piece.name, piece.install) {
            println!("{} cannot be installed: {error:#}", piece.name);
            failed.push(piece.name);
        }
    }
    ledger.print();
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("not installed: {}; the reasons are above", failed.join(", ")),
    }
}

fn agree(yes: bool) -> Result<()> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    println!("Go on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}
