//! The agent on a kernel that lacks something: it says so, and goes on with what it can. Needs root, for mounts in a
//! namespace of their own; `cargo xtask test kernel` runs it.

mod house;

use std::time::Duration;

use house::node::{Node, ask};
use house::{Running, eventually};

/// An agent started by this script says this of detection, and serves identities all the same.
async fn lacks(script: &str, parts: &[&str]) {
    let node = Node::new().await;
    let mut agent = Running::inside(script, &node.agent());
    agent.says("Detection is not in force on this node").await;
    let log = agent.log();
    parts.iter().for_each(|part| assert!(log.contains(part), "no word of {part:?}: {log}"));
    assert!(!log.contains("panicked"), "{log}");
    eventually(Duration::from_secs(20), "it serves identities", async || ask(&node.socket()).await).await;
    assert!(agent.runs());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn kernel_without_btf() {
    let script = "mount -t tmpfs none /sys/kernel/btf; exec \"$@\"";
    let told = "cannot read the kernel's type information at /sys/kernel/btf/vmlinux";
    lacks(script, &[told, "use a kernel built with CONFIG_DEBUG_INFO_BTF"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn tracefs_missing() {
    // The shipped agent may not mount either.
    let script = "mount -t tmpfs none /sys/kernel/tracing; if [ -d /sys/kernel/debug ]; then mount -t tmpfs none /sys/kernel/debug; fi
        exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin \"$@\"";
    let told = "tracefs is not mounted at /sys/kernel/tracing and cannot be mounted";
    lacks(script, &[told, "on the node run `mount -t tracefs tracefs /sys/kernel/tracing`"]).await;
}
