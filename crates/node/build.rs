//! Embeds the kernel programs if they were built (`cargo xtask ebpf`), an empty stub otherwise, so that
//! `cargo check` works anywhere.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["probes", "quarantine"] {
        let object = root.join(format!("../../target/ebpf/outis-{name}-{arch}.o"));
        println!("cargo::rerun-if-changed={}", object.display());
        let bytes = fs::read(&object).unwrap_or_default();
        let out = Path::new(&variable("OUT_DIR")).join(format!("{name}.o"));
        if let Err(error) = fs::write(&out, bytes) {
            panic!("cannot write {}: {error}", out.display());
        }
    }
}
