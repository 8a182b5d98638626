//! The image, brought to where the nodes look for it, by the distribution's own tool.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::arguments::Load;

/// Loads an archive.
pub(super) async fn run(load: &Load, archive: Option<&Path>, image: &str) -> Result<()> {
    let archive = match archive {
        Some(archive) => archive.to_owned(),
        None => beside()?,
    };
    ensure!(archive.is_file(), "there is no image archive {}; name one with --archive", archive.display());
    let mut command = match load {
        Load::Kind(name) => {
            let mut command = Command::new("kind");
            command.args(["load", "image-archive"]).arg(&archive).args(["--name", name]);
            command
        }
        Load::K3s => {
            let mut command = Command::new("k3s");
            command.args(["ctr", "images", "import"]).arg(&archive);
            command
        }
        Load::Containerd(socket) => {
            let mut command = Command::new("ctr");
            command
                .arg("--address")
                .arg(socket)
                .args(["--namespace", "k8s.io", "images", "import"])
                .arg(&archive);
            command
        }
    };
    let tool = command.as_std().get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().await;
    let done =
        done.with_context(|| format!("cannot run `{tool}` to load {}; is it installed?", archive.display()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    let last =
        said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned();
    ensure!(done.status.success(), "`{tool}` cannot load {}: {last}", archive.display());
    println!("loaded {} for {image}", archive.display());
    Ok(())
}

/// The archive that was shipped with this binary.
fn beside() -> Result<PathBuf> {
    let binary = std::env::current_exe()
        .context("cannot tell where this binary is; name the archive with --archive")?;
    Ok(binary.with_file_name("outis.tar"))
}
