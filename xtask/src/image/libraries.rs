//! The shared libraries of a binary, as its own loader finds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::tool::Tool;

/// Path in the image and bytes of each library, the loader included. Empty for a static binary.
pub(super) fn needed(binary: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let Ok(listed) = Tool::new("ldd").args([binary]).output() else { return Ok(found) };
    for line in listed.lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`
        let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) else { continue };
        let bytes = fs::read(path).with_context(|| format!("cannot read the library {path}"))?;
        found.insert(path.trim_start_matches('/').to_owned(), bytes);
    }
    Ok(found)
}
