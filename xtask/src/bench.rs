//! Benchmarks by name. Each prints its figure beside its budget.

use anyhow::{Result, bail};

use crate::places::root;
use crate::tool::Tool;

/// Name, crate, example.
const BENCHES: &[(&str, &str, &str)] = &[
    ("admission", "outis-admission", "bench_admission"),
    ("detect", "outis-detect", "bench_detect"),
    ("issuance", "outis-identity", "bench_issue"),
    ("store", "outis-store", "bench_store"),
    ("sensor", "outis-node", "bench_sensor"),
];

/// Runs one, or lists them.
pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let there: Vec<_> = BENCHES
        .iter()
        .filter(|(_, package, example)| {
            let dir = package.strip_prefix("outis-").unwrap_or(package);
            root().join(format!("crates/{dir}/examples/{example}.rs")).exists()
        })
        .collect();
    let names = || there.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    let Some(name) = name else {
        println!("{}", names());
        return Ok(());
    };
    let Some((_, package, example)) = there.iter().find(|(known, ..)| *known == name) else {
        bail!("no benchmark is called {name:?}; there are {}", names());
    };
    Tool::cargo().args(["run", "--quiet", "--package", package, "--example", example]).show()
}
