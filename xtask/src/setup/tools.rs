//! Programs that cargo builds for us alone, under the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::places::{cache, tools};
use crate::tool::Tool;

/// One of them.
pub(crate) struct Built {
    name: &'static str,
    version: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// Links kernel programs.
pub(crate) const BPF_LINKER: Built = Built {
    name: "bpf-linker",
    version: "0.13.0",
    arguments: &["--no-default-features", "--features", "llvm-22"],
    environment: &[("LLVM_PREFIX", "/usr/lib/llvm-22"), ("RUSTFLAGS", "-L /usr/lib/llvm-22/lib")],
};

/// Looks at dependencies.
pub(crate) const DENY: Built =
    Built { name: "cargo-deny", version: "0.20.2", arguments: &[], environment: &[] };

/// Changes the code and sees whether a test notices.
pub(crate) const MUTANTS: Built =
    Built { name: "cargo-mutants", version: "27.1.0", arguments: &[], environment: &[] };

impl Built {
    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        tools().join("bin").join(self.name)
    }

    /// Whether it is not there, or another version is.
    pub(crate) fn missing(&self) -> bool {
        let installed = fs::read_to_string(tools().join(".crates.toml")).unwrap_or_default();
        !self.path().exists() || !installed.contains(&format!("\"{} {} ", self.name, self.version))
    }

    /// Builds it; what it was built from is not kept.
    pub(crate) fn install(&self) -> Result<()> {
        let target = cache().join(format!("build-{}", self.name));
        let tool = Tool::cargo()
            // Away from the workspace, whose settings are not meant for it.
            .at(Path::new("/"))
            .args(["install", self.name, "--version", self.version, "--locked", "--root"])
            .args([&tools()])
            .args(["--target-dir"])
            .args([&target])
            .args(self.arguments);
        let tool = self.environment.iter().fold(tool, |tool, (key, value)| tool.env(key, value));
        tool.hint("is the package registry reachable, and did `cargo xtask setup` install its packages?")
            .run()
            .with_context(|| format!("cannot build {}", self.name))?;
        let _ = fs::remove_dir_all(target);
        Ok(())
    }
}
