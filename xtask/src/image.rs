//! OCI archives without a container engine: one layer of exactly what is needed, the same bytes each time.

mod layout;
mod libraries;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::places::{VERSION, root};
use crate::tool::Tool;
use layout::{Entry, Image};

/// Where the product's image is written.
pub(crate) fn outis() -> PathBuf {
    root().join("target/image/outis.tar")
}

/// Where the sample shop's image is written.
pub(crate) fn shop() -> PathBuf {
    root().join("target/image/shop.tar")
}

/// Builds the binaries and writes both archives.
pub(crate) fn run() -> Result<()> {
    binaries()?;
    write()
}

/// Builds every binary. Always the whole workspace: cargo joins the features of what is built together, and
/// another choice of crates would build half of the dependencies again.
pub(crate) fn binaries() -> Result<()> {
    Tool::cargo().args(["build", "--workspace", "--bins", "--quiet"]).show()
}

/// Writes both archives from the binaries that are there.
pub(crate) fn write() -> Result<()> {
    let product = product()?;
    let digest = product.write(&outis())?;
    println!("{} {} ({:.1} MB) {digest}", product.reference, outis().display(), megabytes(&outis())?);
    let shop_image = sample()?;
    let digest = shop_image.write(&shop())?;
    println!("{} {} ({:.1} MB) {digest}", shop_image.reference, shop().display(), megabytes(&shop())?);
    Ok(())
}

/// The binary, its libraries, CA certificates, names for its users: nothing else.
fn product() -> Result<Image> {
    let mut files = base(&stripped("outis")?, "usr/bin/outis")?;
    let certificates =
        fs::read("/etc/ssl/certs/ca-certificates.crt").context("no CA certificates on this machine")?;
    files.insert("etc/ssl/certs/ca-certificates.crt".into(), Entry::File(certificates, 0o644));
    Ok(Image {
        reference: format!("localhost/outis/outis:{VERSION}"),
        files,
        entrypoint: vec!["/usr/bin/outis".into()],
        user: "65532:65532".into(),
    })
}

/// The sample shop, with a shell: its story needs one.
fn sample() -> Result<Image> {
    let mut files = base(&stripped("outis-shop")?, "usr/bin/outis-shop")?;
    files.insert(
        "bin/busybox".into(),
        Entry::File(fs::read("/bin/busybox").context("busybox-static is missing")?, 0o755),
    );
    for applet in
        Tool::new("/bin/busybox").args(["--list"]).output()?.lines().filter(|name| *name != "busybox")
    {
        files.insert(format!("bin/{applet}"), Entry::Link("busybox".into()));
    }
    Ok(Image {
        reference: format!("localhost/outis/shop:{VERSION}"),
        files,
        entrypoint: vec!["/usr/bin/outis-shop".into()],
        user: "10001:10001".into(),
    })
}

fn base(binary: &Path, place: &str) -> Result<BTreeMap<String, Entry>> {
    let mut files = BTreeMap::new();
    files.insert(place.into(), Entry::File(fs::read(binary)?, 0o755));
    for (name, bytes) in libraries::needed(binary)? {
        files.insert(name, Entry::File(bytes, 0o755));
    }
    let passwd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
    files.insert("etc/passwd".into(), Entry::File(passwd.into(), 0o644));
    files.insert("etc/group".into(), Entry::File("root:x:0:\nnonroot:x:65532:\n".into(), 0o644));
    for dir in ["tmp", "run", "var/lib", "proc", "sys", "dev", "root"] {
        files.insert(dir.into(), Entry::Folder(if dir == "tmp" { 0o1777 } else { 0o755 }));
    }
    Ok(files)
}

/// A copy without symbols beside the binary.
fn stripped(name: &str) -> Result<PathBuf> {
    let built = root().join("target/debug").join(name);
    let copy = root().join("target/image").join(name);
    fs::create_dir_all(copy.parent().expect("a folder"))?;
    Tool::new("strip")
        .args(["--strip-all", "-o"])
        .args([&copy, &built])
        .hint("build first: `cargo xtask image`")
        .run()?;
    Ok(copy)
}

fn megabytes(file: &Path) -> Result<f64> {
    Ok(fs::metadata(file)?.len() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_give_the_same_digest() {
        let dir = tempfile::tempdir().expect("dir");
        let image = || Image {
            reference: "localhost/test:1".into(),
            files: BTreeMap::from([
                ("bin/a".to_owned(), Entry::File(b"a".to_vec(), 0o755)),
                ("bin/b".to_owned(), Entry::Link("a".into())),
                ("tmp".to_owned(), Entry::Folder(0o1777)),
            ]),
            entrypoint: vec!["/bin/a".into()],
            user: "1:1".into(),
        };
        let write = |name: &str| image().write(&dir.path().join(name)).expect("written");
        assert_eq!(write("one.tar"), write("two.tar"));
        let bytes = |name: &str| fs::read(dir.path().join(name)).expect("read");
        assert_eq!(bytes("one.tar"), bytes("two.tar"));
    }

    #[test]
    fn the_libraries_of_a_binary_are_those_the_loader_finds() {
        let own = std::env::current_exe().expect("a test binary");
        let names: Vec<String> = libraries::needed(&own).expect("found").into_keys().collect();
        assert!(names.iter().any(|name| name.ends_with("libc.so.6")), "{names:?}");
        assert!(names.iter().any(|name| name.contains("ld-linux")), "{names:?}");
    }
}
