//! Changes what decides, a place at a time, and sees whether a test of its crate notices.
//!
//! A copy of the sources is changed, never the checkout. Only files that hold matches, verdicts and conditions:
//! elsewhere a survivor says little.

use anyhow::{Result, bail};

use crate::places::{cache, root};
use crate::setup::tools::MUTANTS;
use crate::tool::Tool;

/// Package and files.
const DECIDING: &[(&str, &[&str])] = &[
    (
        "outis-admission",
        &[
            "crates/admission/src/judge.rs",
            "crates/admission/src/matching.rs",
            "crates/admission/src/matching/selector.rs",
            "crates/admission/src/pod_security.rs",
            "crates/admission/src/pod_security/*.rs",
            "crates/admission/src/set.rs",
        ],
    ),
    (
        "outis-detect",
        &[
            "crates/detect/src/compile/test.rs",
            "crates/detect/src/compile/cond.rs",
            "crates/detect/src/compile/except.rs",
            "crates/detect/src/field/value.rs",
            "crates/detect/src/step.rs",
        ],
    ),
    ("outis-identity", &["crates/identity/src/attest.rs", "crates/identity/src/proof.rs"]),
    ("outis", &["crates/outis/src/doctor.rs", "crates/outis/src/status.rs"]),
];

/// Which of them.
#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// Only this package.
    #[arg(long)]
    package: Option<String>,
    /// Only this part of them: K/N, K from 0.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Name them, change nothing.
    #[arg(long)]
    list: bool,
}

/// Fails when one survives.
pub(crate) fn run(mutants: &Mutants) -> Result<()> {
    if MUTANTS.missing() {
        println!("building cargo-mutants, once");
        MUTANTS.install()?;
    }
    let chosen = |package: &str| mutants.package.as_deref().is_none_or(|only| only == package);
    let mut survived = Vec::new();
    for (package, files) in DECIDING.iter().filter(|(package, _)| chosen(package)) {
        if let Err(error) = one(mutants, package, files) {
            println!("{error:#}");
            survived.push(*package);
        }
    }
    match survived.is_empty() {
        true => Ok(()),
        false => bail!("not every change was noticed in {}; see target/mutants", survived.join(", ")),
    }
}

fn one(mutants: &Mutants, package: &str, files: &[&str]) -> Result<()> {
    let output = root().join("target/mutants").join(package);
    std::fs::create_dir_all(&output)?;
    // What is built from changed sources must not lie where clones look for what they share: cargo tells such
    // apart by their times alone, and would take it for the checkout's own.
    let apart = cache().join("mutants");
    let tool = Tool::new(MUTANTS.path()).at(&root()).env("CARGO_BUILD_BUILD_DIR", apart);
    let tool = tool.args(["mutants", "--package", package]);
    let tool = files.iter().fold(tool, |tool, file| tool.args(["--file", file]));
    let tool = match &mutants.shard {
        Some(shard) => tool.args(["--shard", shard]),
        None => tool,
    };
    if mutants.list {
        return tool.args(["--list"]).show();
    }
    // What is built a hundred times has to build fast; what it computes is the same.
    let slow = format!("--config=profile.dev.package.{package}.opt-level=0");
    // Without its size a condition is multiplied until the machine's memory is gone; a test sees to that bound.
    tool.args(["--exclude-re", "Cond::size -> usize with"])
        // Unoptimised code takes more stack than the tests were sized for.
        .env("RUST_MIN_STACK", "67108864")
        .args(["--test-workspace=false", "--jobs", "1", "--timeout", "30"])
        .args(["--cargo-arg", &slow, "--output"])
        .args([&output])
        .show()
}
