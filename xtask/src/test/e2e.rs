//! User stories, on clusters of several shapes.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::{Tally, unique};
use crate::places::root;
use crate::tool::Tool;
use crate::{cluster, ebpf, image};

/// Against a given cluster every story one after another; else on clusters side by side, of each shape users have: stories
/// wait for deadlines most of the time.
pub(super) fn run(tally: &mut Tally, kubeconfig: Option<&Path>) -> Result<()> {
    ebpf::build()?;
    image::run()?;
    match kubeconfig {
        Some(kubeconfig) => tally.stream("e2e", stories(kubeconfig, (vec![], vec![]), &[])),
        None => side_by_side(tally),
    }
}

/// A cluster's shape, and the stories told on it.
struct Stage {
    shape: &'static str,
    options: cluster::Options,
    tales: &'static [&'static str],
}

fn stages() -> Vec<Stage> {
    let stage = |shape: &'static str, nodes, tales| Stage {
        shape,
        options: cluster::Options { name: unique(shape), nodes, ..cluster::Options::default() },
        tales,
    };
    let mut stages = vec![
        stage("plain", 1, &["whole"]),
        stage("keys", 1, &["keys"]),
        stage("nested", 2, &["brief", "without-agent", "without-webhook", "without-controller"]),
        stage("k3s", 1, &["apart", "brief", "namespace", "full"]),
    ];
    stages[2].options.nested = true;
    stages[3].options.k3s_paths = true;
    stages
}

fn side_by_side(tally: &mut Tally) -> Result<()> {
    let stages = stages();
    let tally = Mutex::new(tally);
    std::thread::scope(|scope| {
        // One after another up, so that they do not take the same network; then all at once.
        for stage in &stages {
            match raise(stage) {
                Ok(tool) => drop(scope.spawn(|| tell(stage, tool, &tally))),
                Err(error) => fail(&tally, stage, &error),
            }
        }
    });
    Ok(())
}

fn raise(stage: &Stage) -> Result<Tool> {
    let kubeconfig = cluster::up(&stage.options)?;
    cluster::load(&image::shop(), &stage.options.name)?;
    Ok(stories(&kubeconfig, cluster::for_story(&stage.options)?, stage.tales))
}

fn tell(stage: &Stage, tool: Tool, tally: &Mutex<&mut Tally>) {
    let mut own = Tally { prefix: format!("{:<7}", stage.shape), ..Tally::default() };
    let told = own.stream("e2e", tool).and_then(|()| cluster::down(&stage.options.name, false));
    tally.lock().unwrap_or_else(PoisonError::into_inner).add(own);
    if let Err(error) = told {
        fail(tally, stage, &error);
    }
}

fn fail(tally: &Mutex<&mut Tally>, stage: &Stage, error: &anyhow::Error) {
    let fault = format!("{}: {error:#}", stage.shape);
    println!("FAILED: {fault}");
    tally.lock().unwrap_or_else(PoisonError::into_inner).fail(&fault);
    let _ = cluster::down(&stage.options.name, false);
}

fn stories(kubeconfig: &Path, given: cluster::Given, tales: &[&str]) -> Tool {
    let tool = program("all", kubeconfig, given);
    match tales {
        [] => tool,
        tales => tool.args(["--only", &tales.join(",")]),
    }
}

/// A command of the stories' program, with what it has to know of the cluster.
pub(crate) fn program(command: &str, kubeconfig: &Path, (arguments, variables): cluster::Given) -> Tool {
    let tool = Tool::new(root().join("target/debug/outis-e2e")).args([command, "--outis"]);
    let tool = tool.args([root().join("target/debug/outis")]).args(["--kubeconfig"]).args([kubeconfig]);
    variables.into_iter().fold(tool.args(&arguments), |tool, (name, value)| tool.env(name, value))
}
