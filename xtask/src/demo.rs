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
    /// How `outis install` gets its image onto the nodes of that cluster: kind:NAME, k3s or containerd:SOCKET.
    #[arg(long, value_name = "WHERE", requires = "kubeconfig")]
    load: Option<String>,
    /// Nodes of the cluster made for it.
    #[arg(long, default_value_t = 1, conflicts_with = "kubeconfig")]
    nodes: u32,
    /// Nodes as kind's are: containers themselves, in PID and cgroup namespaces of their own.
    #[arg(long, conflicts_with = "kubeconfig")]
    nested: bool,
    /// Remove this part first: exactly the lines that need it fail.
    #[arg(long, value_name = "PART", value_parser = ["agent", "webhook", "controller"])]
    without: Option<String>,
}

const NAME: &str = "demo";

/// Sets up, builds, tells, cleans up.
pub(crate) fn run(demo: &Demo) -> Result<()> {
    let mut ledger = Ledger::default();
    let options = cluster::Options {
        name: NAME.into(),
        nodes: demo.nodes,
        nested: demo.nested,
        ..cluster::Options::default()
    };
    let told = prepare(demo, &options, &mut ledger).and_then(|kubeconfig| {
        ledger.print();
        tell(demo, &options, &kubeconfig)
    });
    if demo.kubeconfig.is_none() && !demo.keep {
        ledger.step("cluster down", || cluster::down(NAME, false))?;
    }
    told
}

fn prepare(demo: &Demo, options: &cluster::Options, ledger: &mut Ledger) -> Result<PathBuf> {
    let scope = if demo.kubeconfig.is_some() { setup::Scope::Build } else { setup::Scope::Demo };
    ledger.step("setup", || setup::run(scope, false))?;
    ledger.step("kernel programs", ebpf::build)?;
    ledger.step("binaries", image::binaries)?;
    ledger.step("images", image::write)?;
    if let Some(kubeconfig) = &demo.kubeconfig {
        return Ok(kubeconfig.clone());
    }
    let kubeconfig = ledger.step("cluster up", || cluster::up(options))?;
    ledger.step("image on the node", || cluster::load(&image::shop(), NAME))?;
    Ok(kubeconfig)
}

fn tell(demo: &Demo, options: &cluster::Options, kubeconfig: &PathBuf) -> Result<()> {
    let mut story = Command::new(root().join("target/debug/outis-e2e"));
    story
        .arg("story")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--outis")
        .arg(root().join("target/debug/outis"));
    match (&demo.kubeconfig, &demo.load) {
        (None, _) => {
            let (arguments, variables) = cluster::for_story(options)?;
            story.args(arguments).envs(variables);
        }
        (Some(_), Some(load)) => {
            story.args(["--load", load]).arg("--archive").arg(image::outis());
        }
        (Some(_), None) => {}
    }
    if let Some(part) = &demo.without {
        story.args(["--without", part]);
    }
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
