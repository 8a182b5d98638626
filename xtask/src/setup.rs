//! Installing what the project needs, once.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::ledger::Ledger;
use crate::places::{cache, tools};
use crate::tool::{Tool, found};

/// A Debian package and how to see that it is there.
struct Package {
    name: &'static str,
    sign: &'static str,
    why: &'static str,
}

const fn package(name: &'static str, sign: &'static str, why: &'static str) -> Package {
    Package { name, sign, why }
}

const PACKAGES: &[Package] = &[
    package("nftables", "/usr/sbin/nft", "the test cluster's Services"),
    package("iptables", "/usr/sbin/iptables", "kubelet looks for it"),
    package("conntrack", "/usr/sbin/conntrack", "kube-proxy"),
    package("ipset", "/usr/sbin/ipset", "kube-proxy"),
    package("ethtool", "/usr/sbin/ethtool", "kubelet"),
    package("busybox-static", "/bin/busybox", "the sample shop's shell"),
    package("iproute2", "/usr/sbin/ip", "the test cluster's network namespaces"),
    package("jq", "/usr/bin/jq", "the test cluster's scripts"),
    package("openssl", "/usr/bin/openssl", "the test cluster's keys"),
    package("util-linux", "/usr/bin/nsenter", "the test cluster's nodes"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "building runc"),
    package("gcc", "/usr/bin/gcc", "building runc and native dependencies"),
    package("cmake", "/usr/bin/cmake", "building the TLS library"),
    package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "the image's CA certificates"),
];

/// The BPF toolchain where rustup can fetch nothing: a compiler whose BPF target is prebuilt.
const BPF_PACKAGES: &[Package] = &[
    package("rustc-web", "/usr/bin/rustc", "compiling kernel programs"),
    package("cargo-web", "/usr/bin/cargo", "compiling kernel programs"),
    package("libstd-rust-web-dev-bpf", "/usr/lib/rustlib/bpfel-unknown-none", "compiling kernel programs"),
    package("llvm-22-dev", "/usr/lib/llvm-22/bin/llvm-config", "linking kernel programs"),
    package("libpolly-22-dev", "/usr/lib/llvm-22/lib/libPolly.a", "linking kernel programs"),
    package("libzstd-dev", "/usr/include/zstd.h", "linking kernel programs"),
    package("zlib1g-dev", "/usr/include/zlib.h", "linking kernel programs"),
    package("libxml2-dev", "/usr/include/libxml2", "linking kernel programs"),
];

/// Installs what is missing.
pub(crate) fn run(yes: bool) -> Result<()> {
    let mut ledger = Ledger::default();
    let missing: Vec<&Package> =
        PACKAGES.iter().chain(BPF_PACKAGES).filter(|package| !Path::new(package.sign).exists()).collect();
    let linker = tools().join("bin/bpf-linker");
    let cluster = crate::cluster::missing();
    if missing.is_empty() && linker.exists() && !cluster {
        println!("setup: everything is there");
        return Ok(());
    }
    println!("setup will install:");
    for package in &missing {
        println!("  {:<24} {}", package.name, package.why);
    }
    if !linker.exists() {
        println!(
            "  {:<24} linking kernel programs (built by cargo, under {})",
            "bpf-linker",
            tools().display()
        );
    }
    if cluster {
        println!(
            "  {:<24} Kubernetes from its sources (about 11 minutes of two cores, under {})",
            "cluster binaries",
            cache().display()
        );
    }
    agree(yes)?;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        ledger.step("packages", || install(&names))?;
    }
    if !linker.exists() {
        ledger.step("bpf-linker", bpf_linker)?;
    }
    if cluster {
        ledger.step("cluster binaries", crate::cluster::build)?;
    }
    ledger.print();
    Ok(())
}

fn agree(yes: bool) -> Result<()> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    println!("Go on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

fn install(names: &[&str]) -> Result<()> {
    if !found("apt-get") {
        bail!("this machine has no apt-get; install the equivalents of: {}", names.join(" "));
    }
    // A third party's broken source must not keep us from Debian's own.
    if let Err(error) = Tool::new("apt-get").args(["update", "-q"]).run() {
        println!("some package sources cannot be read, going on: {error:#}");
    }
    Tool::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .hint("are you root, and is a Debian mirror reachable?")
        .run()
}

fn bpf_linker() -> Result<()> {
    Tool::cargo()
        .at(Path::new("/"))
        .args([
            "install",
            "bpf-linker",
            "--version",
            "0.13.0",
            "--locked",
            "--no-default-features",
            "--features",
            "llvm-22",
            "--root",
        ])
        .args([tools()])
        .args(["--target-dir"])
        .args([cache().join("bpf-linker")])
        .env("LLVM_PREFIX", "/usr/lib/llvm-22")
        .env("RUSTFLAGS", "-L /usr/lib/llvm-22/lib")
        .hint("is the package registry reachable, and llvm-22-dev installed?")
        .run()
        .context("cannot build bpf-linker")
}
