//! Benchmarks by name. Each prints its figure beside its budget.

use anyhow::{Result, bail};

use crate::places::root;
use crate::tool::Tool;
use crate::{cluster, ebpf, image};

/// Name, crate, example.
const BENCHES: &[(&str, &str, &str)] = &[
    ("admission", "outis-admission", "bench_admission"),
    ("detect", "outis-detect", "bench_detect"),
    ("issuance", "outis-identity", "bench_issue"),
    ("store", "outis-store", "bench_store"),
    ("quarantine", "outis-node", "bench_quarantine"),
    ("sensor", "outis-node", "bench_sensor"),
];

/// Half an hour on a real cluster without its controller.
const AWAY: &str = "away";

/// Runs one, or lists them.
pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let there: Vec<_> = BENCHES
        .iter()
        .filter(|(_, package, example)| {
            let dir = package.strip_prefix("outis-").unwrap_or(package);
            root().join(format!("crates/{dir}/examples/{example}.rs")).exists()
        })
        .collect();
    let names = || there.iter().map(|(name, ..)| *name).chain([AWAY]).collect::<Vec<_>>().join(", ");
    let Some(name) = name else {
        println!("{}", names());
        return Ok(());
    };
    if name == AWAY {
        return away();
    }
    let Some((_, package, example)) = there.iter().find(|(known, ..)| *known == name) else {
        bail!("no benchmark is called {name:?}; there are {}", names());
    };
    Tool::cargo().args(["run", "--quiet", "--package", package, "--example", example]).show()
}

fn away() -> Result<()> {
    ebpf::build()?;
    image::run()?;
    let options = cluster::Options { name: AWAY.into(), nodes: 1, ..cluster::Options::default() };
    let measured = cluster::up(&options).and_then(|kubeconfig| {
        cluster::load(&image::shop(), AWAY)?;
        crate::test::e2e::program("away", &kubeconfig, cluster::for_story(&options)?).show()
    });
    cluster::down(AWAY, false)?;
    measured
}
