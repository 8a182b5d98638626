//! A real Kubernetes cluster by the scripts of `e2e/cluster`, which hold the pinned inputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::places::{cache, root};
use crate::setup;
use crate::tool::{Tool, path_with};

/// What to do with a cluster.
#[derive(Subcommand)]
pub(crate) enum Cluster {
    /// Bring one up, or bring a running one to these options; prints its kubeconfig.
    Up(Options),
    /// Take one down, leaving nothing: no process, mount, namespace, cgroup, rule or interface.
    Down {
        /// Which.
        #[arg(long, default_value = "dev")]
        name: String,
        /// Keep etcd, keys, images and volumes for the next `up`.
        #[arg(long)]
        keep: bool,
    },
    /// What runs.
    Status,
    /// Put an image archive on every node.
    Load {
        /// The archive.
        archive: PathBuf,
        /// Which cluster.
        #[arg(long, default_value = "dev")]
        name: String,
    },
}

/// What kind of cluster.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Options {
    /// Its name; clusters of other names run beside it.
    #[arg(long, default_value = "dev")]
    pub(crate) name: String,
    /// Nodes.
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: u32,
    /// Nodes in PID and cgroup namespaces of their own, as kind's are.
    #[arg(long)]
    pub(crate) nested: bool,
    /// etcd and the control plane alone.
    #[arg(long)]
    pub(crate) control_plane: bool,
    /// Simulated nodes for `--control-plane`.
    #[arg(long, default_value_t = 0)]
    pub(crate) fake_nodes: u32,
    /// The paths of k3s: containerd's socket, kubelet's directory.
    #[arg(long)]
    pub(crate) k3s_paths: bool,
    /// Kubeconfig of an audit webhook; `@HOST_IP@` in it becomes this machine's address.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_webhook: Option<PathBuf>,
    /// Audit policy.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_policy: Option<PathBuf>,
    /// Structured authentication configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) authentication: Option<PathBuf>,
}

/// Does it.
pub(crate) fn run(cluster: &Cluster) -> Result<()> {
    match cluster {
        Cluster::Up(options) => {
            println!("{}", up(options)?.display());
            Ok(())
        }
        Cluster::Down { name, keep } => down(name, *keep),
        Cluster::Status => status(),
        Cluster::Load { archive, name } => load(archive, name),
    }
}

/// Brings a cluster up; gives its kubeconfig.
pub(crate) fn up(options: &Options) -> Result<PathBuf> {
    let on = |yes: bool| if yes { "1" } else { "0" };
    let mut tool = script("up.sh", &options.name)
        .env("OUTIS_NODES", options.nodes.to_string())
        // Each install takes one, and keeps it: a story installs several times.
        .env("OUTIS_LOCAL_PVS", "12")
        .env("OUTIS_NESTED", on(options.nested))
        .env("OUTIS_CLUSTER_MODE", if options.control_plane { "control-plane" } else { "full" })
        .env("OUTIS_FAKE_NODES", options.fake_nodes.to_string())
        .hint("the cluster's logs are in the `log` folder of its state directory; `cargo xtask cluster down` clears a half-made one");
    if options.k3s_paths {
        tool = tool
            .env("OUTIS_CRI_DIR", "/run/k3s/containerd")
            .env("OUTIS_KUBELET_DIR", "/var/lib/rancher/k3s/agent/kubelet");
    }
    let files = [
        ("OUTIS_AUDIT_WEBHOOK", &options.audit_webhook),
        ("OUTIS_AUDIT_POLICY", &options.audit_policy),
        ("OUTIS_AUTHN_CONFIG", &options.authentication),
    ];
    for (variable, file) in files {
        if let Some(file) = file {
            tool = tool.env(
                variable,
                fs::canonicalize(file).with_context(|| format!("no file {}", file.display()))?,
            );
        }
    }
    let printed = tool.output().context("cannot bring the cluster up")?;
    let kubeconfig = printed.lines().last().unwrap_or_default();
    match kubeconfig.is_empty() {
        true => bail!("the cluster is up, but did not say where its kubeconfig is"),
        false => Ok(kubeconfig.into()),
    }
}

/// Takes a cluster down and looks whether anything is left.
pub(crate) fn down(name: &str, keep: bool) -> Result<()> {
    script("down.sh", name)
        .env("KEEP", if keep { "1" } else { "0" })
        .run()
        .context("cannot take the cluster down")?;
    let left = leftovers(name);
    match left.is_empty() {
        true => Ok(()),
        false => bail!("cluster {name} is down but left behind: {}", left.join(", ")),
    }
}

/// What a cluster that is down must not have left.
fn leftovers(name: &str) -> Vec<String> {
    let mut left = Vec::new();
    let own = format!("outis-{name}");
    let ours = |found: &str| found == own || found.starts_with(&format!("{own}."));
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        left.extend(ours(&found).then(|| format!("network namespace {found}")));
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        left.extend(
            hierarchy
                .path()
                .join(&own)
                .exists()
                .then(|| format!("cgroup {}", hierarchy.path().join(&own).display())),
        );
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let state = state(name);
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&*state.to_string_lossy()))
            .map(|line| format!("mount {line}")),
    );
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&format!("{}/", state.display()))
            && process.file_name() != *std::process::id().to_string()
        {
            left.push(format!(
                "process {} ({})",
                process.file_name().to_string_lossy(),
                command.chars().take(80).collect::<String>()
            ));
        }
    }
    left
}

fn state(name: &str) -> PathBuf {
    PathBuf::from(format!("/var/lib/outis-cluster-{name}"))
}

fn status() -> Result<()> {
    let mut any = false;
    for entry in fs::read_dir("/var/lib").into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_prefix("outis-cluster-") else { continue };
        any = true;
        let kubeconfig = entry.path().join("kubeconfig/admin");
        let nodes = Tool::new(cache().join("cluster/bin/kubectl"))
            .args(["get", "nodes", "--no-headers", "--request-timeout=3s", "--kubeconfig"])
            .args([&kubeconfig])
            .output();
        match nodes {
            Ok(nodes) => println!("{name}: up, {} nodes, {}", nodes.lines().count(), kubeconfig.display()),
            Err(_) => println!("{name}: down (state kept in {})", entry.path().display()),
        }
    }
    if !any {
        println!("no cluster");
    }
    Ok(())
}

/// Puts an image archive on every node.
pub(crate) fn load(archive: &Path, name: &str) -> Result<()> {
    let archive = fs::canonicalize(archive).with_context(|| format!("no archive {}", archive.display()))?;
    script("image.sh", name).args([archive]).run().context("cannot load the image")
}

/// Arguments and variables of a story.
pub(crate) type Given = (Vec<String>, Vec<(&'static str, std::ffi::OsString)>);

/// What a story needs to know of a cluster of ours: where its image goes, and how to look at its nodes.
pub(crate) fn for_story(options: &Options) -> Result<Given> {
    let state = state(&options.name);
    let in_node = root().join("e2e/cluster/in-node.sh");
    let mut arguments = vec![
        "--archive".to_owned(),
        crate::image::outis().display().to_string(),
        "--in-node".to_owned(),
        in_node.display().to_string(),
    ];
    let mut tools = vec![cache().join("cluster/bin")];
    if options.k3s_paths {
        tools.push(k3s(&state, &in_node)?);
        arguments.extend(["--load".to_owned(), "k3s".to_owned()]);
    } else {
        for node in 1..=options.nodes {
            let socket = state.join(format!("node{node}/cri/containerd.sock"));
            arguments.extend(["--load".to_owned(), format!("containerd:{}", socket.display())]);
        }
    }
    let variables = vec![
        ("PATH", path_with(tools)),
        ("OUTIS_CLUSTER_NAME", options.name.clone().into()),
        ("OUTIS_CLUSTER_CACHE", cache().join("cluster").into()),
        ("OUTIS_CLUSTER_STATE", state.into()),
    ];
    Ok((arguments, variables))
}

/// A folder with `k3s ctr`, as it is on a node of k3s: containerd's own tool at k3s's socket.
fn k3s(state: &Path, in_node: &Path) -> Result<PathBuf> {
    let dir = state.join("k3s-bin");
    fs::create_dir_all(&dir)?;
    let text = format!(
        "#!/bin/sh\nshift\nexec {} ctr --address /run/k3s/containerd/containerd.sock --namespace k8s.io \"$@\"\n",
        in_node.display()
    );
    let file = dir.join("k3s");
    fs::write(&file, text)?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(dir)
}

/// Whether binaries are missing from the cache.
pub(crate) fn missing() -> bool {
    ["kube-apiserver", "etcd", "kubelet", "containerd", "coredns", "pause"]
        .iter()
        .any(|name| !cache().join("cluster/bin").join(name).exists())
}

/// Builds what is missing, from the sources pinned in `e2e/cluster/mods`.
pub(crate) fn build() -> Result<()> {
    script("up.sh", "build")
        .args(["build"])
        .hint("is the Go module proxy reachable? `cargo xtask setup` brings Go where it is missing")
        .show()
}

fn script(file: &str, name: &str) -> Tool {
    let tool = Tool::new("bash")
        .args([root().join("e2e/cluster").join(file)])
        .env("OUTIS_CLUSTER_NAME", name)
        .env("OUTIS_CLUSTER_CACHE", cache().join("cluster"))
        .env("OUTIS_CLUSTER_STATE", state(name));
    match setup::go::stand_in() {
        Some(go) => tool.env("PATH", path_with([go])),
        None => tool,
    }
}
