//! From nothing to the story.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::ledger::Ledger;
use crate::places::root;
use crate::{cluster, ebpf, image, setup};

/// How to tell it.
#[derive(clap::Args)]
pub(crate) struct Demo {
    /// End after the story; exit 1 when a line of it failed.
    #[arg(long)]
    check: bool,
    /// Leave the cluster up.
    #[arg(long)]
    keep: bool,
    /// Tell it on this cluster instead of one made for it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

const NAME: &str = "demo";

/// Sets up, builds, tells, cleans up.
pub(crate) fn run(demo: &Demo) -> Result<()> {
    let mut ledger = Ledger::default();
    let told = prepare(demo, &mut ledger).and_then(|kubeconfig| {
        ledger.print();
        tell(demo, &kubeconfig)
    });
    if demo.kubeconfig.is_none() && !demo.keep {
        ledger.step("cluster down", || cluster::down(NAME, false))?;
    }
    told
}

fn prepare(demo: &Demo, ledger: &mut Ledger) -> Result<PathBuf> {
    if demo.kubeconfig.is_none() {
        ledger.step("setup", || setup::run(false))?;
    }
    ledger.step("kernel programs", ebpf::build)?;
    ledger.step("binaries", image::binaries)?;
    ledger.step("images", image::write)?;
    if let Some(kubeconfig) = &demo.kubeconfig {
        return Ok(kubeconfig.clone());
    }
    let options = cluster::Options { name: NAME.into(), nodes: 1, ..cluster::Options::default() };
    let kubeconfig = ledger.step("cluster up", || cluster::up(&options))?;
    ledger.step("image on the node", || cluster::load(&image::shop(), NAME))?;
    Ok(kubeconfig)
}

fn tell(demo: &Demo, kubeconfig: &PathBuf) -> Result<()> {
    let mut story = Command::new(root().join("target/debug/outis-e2e"));
    story
        .arg("story")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--outis")
        .arg(root().join("target/debug/outis"));
    if demo.check {
        story.arg("--check");
    }
    if demo.keep {
        story.arg("--keep");
    }
    // Ctrl-C reaches the story first, which ends; then we clean up.
    let status = story.status().context("cannot run the story")?;
    match status.success() {
        true => Ok(()),
        false => bail!("the story ended with {status}; the lines that failed are above"),
    }
}
