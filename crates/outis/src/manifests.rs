//! Files, folders and standard input, with a bound.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The largest input taken.
const LIMIT: u64 = 64 << 20;

/// Every manifest among these: folders are walked, `-` is standard input.
pub(crate) fn collect(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside: Vec<PathBuf> = fs::read_dir(path)
                .with_context(|| format!("cannot list {}", path.display()))?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()?;
            inside.retain(|path| path.is_dir() || is_manifest(path));
            inside.sort();
            found.extend(collect(&inside)?);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|kind| ["yaml", "yml", "json"].iter().any(|known| kind == *known))
}

/// The bytes of one input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(LIMIT + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
        file.take(LIMIT + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    }
    ensure!(bytes.len() as u64 <= LIMIT, "{name} is larger than {} MiB; split it", LIMIT >> 20);
    Ok(bytes)
}
