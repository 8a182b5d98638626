//! A kernel for guests under software emulation, taken out of Debian's package: nothing is installed as this
//! machine's kernel.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::places::cache;
use crate::tool::Tool;

/// Always depends on the newest of its kind.
const NEWEST: &str = "linux-image-cloud-amd64";

/// Where the package is unpacked.
pub(crate) fn kernel() -> PathBuf {
    cache().join("guest")
}

/// Whether guests of this machine's architecture are tried at all: tests name what they need of it.
pub(crate) fn supported() -> bool {
    std::env::consts::ARCH == "x86_64"
}

pub(super) fn missing() -> bool {
    supported() && !kernel().exists()
}

/// Downloads and unpacks it.
pub(super) fn install() -> Result<()> {
    super::packages::refresh();
    let depends = Tool::new("apt-cache").args(["depends", NEWEST]).output()?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.with_context(|| format!("the package sources do not know {NEWEST}"))?;
    fs::create_dir_all(cache())?;
    let dir = tempfile::tempdir_in(cache())?;
    // As root, apt gives its rights away and then wants the folder to be anybody's; ours is private.
    let download = Tool::new("apt-get").args(["download", "-q", "-o", "APT::Sandbox::User=root", package]);
    download.at(dir.path()).hint("is a Debian mirror reachable?").run()?;
    let file = fs::read_dir(dir.path())?.next().context("apt-get downloaded nothing")??.path();
    let half = dir.path().join("half");
    Tool::new("dpkg-deb").args(["-x"]).args([&file, &half]).run()?;
    fs::rename(&half, kernel()).context("cannot put the guest's kernel into the cache")
}
