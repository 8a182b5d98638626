//! The kernel programs, built for another target by another compiler into a fixed place;
//! `crates/node/build.rs` embeds what lies there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::places::{cache, root, tools};
use crate::tool::{Tool, path_with};

/// The objects, by the names of their programs.
const OBJECTS: [&str; 2] = ["outis-probes", "outis-quarantine"];
/// The architecture of this machine as the kernel's BPF headers call it.
const ARCH: &str = std::env::consts::ARCH;

/// Builds the programs if their sources changed. `None` while there are none.
pub(crate) fn build() -> Result<Option<PathBuf>> {
    let sources = root().join("ebpf/probes");
    if !sources.join("Cargo.toml").exists() {
        println!("no kernel programs in ebpf/probes yet");
        return Ok(None);
    }
    let place = |name: &str| root().join(format!("target/ebpf/{name}-{ARCH}.o"));
    let object = place(OBJECTS[0]);
    let stamp = object.with_extension("stamp");
    let key = hash(&root().join("ebpf"))?;
    let there = OBJECTS.iter().all(|name| place(name).exists());
    if there && fs::read_to_string(&stamp).is_ok_and(|found| found == key) {
        return Ok(Some(object));
    }
    let target = cache().join("ebpf");
    // The third instruction set (Linux 5.12) has the atomic addition that numbers records.
    let flags = format!("--cfg=bpf_target_arch=\"{ARCH}\" -Cdebuginfo=2 -Clink-arg=--btf -Ctarget-cpu=v3");
    // Debian's compiler brings `core` for the BPF target; a rustup toolchain would have to build it.
    println!("compiling kernel programs with the distribution's prebuilt BPF target");
    Tool::new("/usr/bin/cargo")
        .args(["build", "--release", "--target", "bpfel-unknown-none", "--locked", "--target-dir"])
        .args([&target])
        .at(&sources)
        .env("PATH", path_with([tools().join("bin")]))
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.replace(' ', "\u{1f}"))
        .without("RUSTFLAGS")
        .without("CARGO_BUILD_BUILD_DIR")
        .without("RUSTUP_TOOLCHAIN")
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .hint("`cargo xtask setup` installs the BPF toolchain")
        .run()
        .context("cannot build the kernel programs")?;
    fs::create_dir_all(object.parent().expect("a folder"))?;
    for name in OBJECTS {
        let built = target.join("bpfel-unknown-none/release").join(name);
        let bytes = fs::read(&built).with_context(|| format!("{} was not built", built.display()))?;
        // Only a changed object is written, so that cargo does not build what embeds it again.
        if fs::read(place(name)).ok().as_ref() != Some(&bytes) {
            fs::write(place(name), bytes)?;
        }
    }
    fs::write(stamp, key)?;
    Ok(Some(object))
}

/// A digest over names and contents below a folder, build output left out.
pub(crate) fn hash(dir: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files(dir)? {
        digest.update(file.strip_prefix(dir)?.to_string_lossy().as_bytes());
        digest.update(fs::read(&file)?);
    }
    Ok(hex::encode(digest.finalize()))
}

/// Files below a folder in order, `target` left out.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true if path.file_name().is_some_and(|name| name == "target") => {}
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}
