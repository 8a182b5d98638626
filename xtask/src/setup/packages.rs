//! Debian's packages, each with a file that shows it is there.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};

use super::Scope;
use crate::tool::{Tool, found};

/// A Debian package and how to see that it is there.
pub(super) struct Package {
    pub(super) name: &'static str,
    sign: &'static str,
    pub(super) why: &'static str,
}

const fn package(name: &'static str, sign: &'static str, why: &'static str) -> Package {
    Package { name, sign, why }
}

/// What the test cluster is built from and runs with.
const CLUSTER: &[Package] = &[
    package("nftables", "/usr/sbin/nft", "the test cluster's Services"),
    package("iptables", "/usr/sbin/iptables", "kubelet looks for it"),
    package("conntrack", "/usr/sbin/conntrack", "kube-proxy"),
    package("ipset", "/usr/sbin/ipset", "kube-proxy"),
    package("ethtool", "/usr/sbin/ethtool", "kubelet"),
    package("iproute2", "/usr/sbin/ip", "the test cluster's network namespaces"),
    package("jq", "/usr/bin/jq", "the test cluster's scripts"),
    package("openssl", "/usr/bin/openssl", "the test cluster's keys"),
    package("util-linux", "/usr/bin/nsenter", "the test cluster's nodes"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "building runc"),
];

/// What the binary and its image are built with.
const BUILD: &[Package] = &[
    package("busybox-static", "/bin/busybox", "the sample shop's shell"),
    package("gcc", "/usr/bin/gcc", "building runc and native dependencies"),
    package("cmake", "/usr/bin/cmake", "building the TLS library"),
    package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "the image's CA certificates"),
];

/// The BPF toolchain where rustup can fetch nothing: a compiler whose BPF target is prebuilt.
const BPF: &[Package] = &[
    package("rustc-web", "/usr/bin/rustc", "compiling kernel programs"),
    package("cargo-web", "/usr/bin/cargo", "compiling kernel programs"),
    package("libstd-rust-web-dev-bpf", "/usr/lib/rustlib/bpfel-unknown-none", "compiling kernel programs"),
    package("llvm-22-dev", "/usr/lib/llvm-22/bin/llvm-config", "linking kernel programs"),
    package("libpolly-22-dev", "/usr/lib/llvm-22/lib/libPolly.a", "linking kernel programs"),
    package("libzstd-dev", "/usr/include/zstd.h", "linking kernel programs"),
    package("zlib1g-dev", "/usr/include/zlib.h", "linking kernel programs"),
    package("libxml2-dev", "/usr/include/libxml2", "linking kernel programs"),
];

/// What tests need and the demo does not.
const TESTS: &[Package] = &[
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "guests that are cut off"),
    package("cpio", "/usr/bin/cpio", "guests' first files"),
    package("e2fsprogs", "/usr/sbin/mke2fs", "guests' disks"),
    package("chromium", "/usr/bin/chromium", "browser tests"),
    package("chromium-driver", "/usr/bin/chromedriver", "browser tests"),
];

/// Where there is no pip.
const VENV: Package = package("python3-venv", "", "fetching Go from PyPI");

/// What is not there.
pub(super) fn missing(scope: Scope) -> Vec<&'static Package> {
    let from = |least: Scope, packages: &'static [Package]| if scope >= least { packages } else { &[] };
    let (cluster, tests) = (from(Scope::Demo, CLUSTER), from(Scope::All, TESTS));
    let all = BUILD.iter().chain(BPF).chain(cluster).chain(tests);
    let venv = (scope >= Scope::Demo && super::go::missing() && !super::go::has_pip()).then_some(&VENV);
    all.filter(|package| !Path::new(package.sign).exists()).chain(venv).collect()
}

/// Reads the package sources anew. A third party's broken one must not keep us from Debian's own.
pub(super) fn refresh() {
    if let Err(error) = Tool::new("apt-get").args(["update", "-q"]).run() {
        println!("some package sources cannot be read, going on: {error:#}");
    }
}

/// Installs them.
pub(super) fn install(packages: &[&Package]) -> Result<()> {
    let names = packages.iter().map(|package| package.name);
    if !found("apt-get") {
        let names: Vec<&str> = names.collect();
        bail!("this machine has no apt-get; install the equivalents of: {}", names.join(" "));
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        let names: Vec<&str> = names.collect();
        bail!("packages are root's to install; ask for: apt-get install {}", names.join(" "));
    }
    refresh();
    Tool::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .hint("are you root, and is a Debian mirror reachable?")
        .run()
}
