//! The cluster and the binary, as a user has them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, AttachParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::Value;
use tokio::process::Command;

use crate::With;

/// A cluster with the binary to try on it.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) with: With,
    /// Where its API server is.
    pub(crate) server: http::Uri,
    /// How many nodes it has.
    pub(crate) nodes: usize,
}

/// What a run of the binary printed.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) async fn new(with: &With) -> Result<Self> {
        let read =
            kube::config::Kubeconfig::read_from(&with.kubeconfig).context("cannot read the kubeconfig")?;
        let config =
            Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()).await?;
        let server = config.cluster_url.clone();
        let client = Client::try_from(config)?;
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        let nodes = nodes.context("cannot list the cluster's nodes")?.items.len();
        Ok(Self { client, with: with.clone(), server, nodes })
    }

    /// Runs a shell script on every node; what each printed. Nothing where there is no way to look at nodes. In the
    /// script `own DIR` tells whether the process of that folder of /proc is one of the node's pods.
    pub(crate) async fn on_nodes(&self, script: &str) -> Result<Vec<String>> {
        let Some(program) = &self.with.in_node else { return Ok(vec![]) };
        // A node that is a container sees its own processes only; another sees the machine's.
        let own = r#"own() { [ "$(cat /proc/1/comm)" = pause ] || grep -q "$0" "$1/cgroup" 2>/dev/null; }"#;
        let cluster = std::env::var("OUTIS_CLUSTER_NAME").unwrap_or_default();
        let mut said = Vec::new();
        for node in 1..=self.nodes {
            let mark = format!("/outis-{cluster}/node{node}/");
            let mut command = Command::new(program);
            command.args(["-n", &node.to_string(), "sh", "-c", &format!("{own}\n{script}"), &mark]);
            let done = command.stdin(Stdio::null()).output().await;
            let done = done.with_context(|| format!("cannot run {} to look at a node", program.display()))?;
            ensure!(done.status.success(), "node {node}: {}", String::from_utf8_lossy(&done.stderr));
            said.push(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Ok(said)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.with.outis);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs `outis ARGS` to its end.
    pub(crate) async fn outis(&self, args: &[&str]) -> Result<Ran> {
        let done = self.command(args).output().await.context("cannot run the binary")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) })
    }

    /// Applies every document of a manifest, server-side.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<()> {
        let params = PatchParams::apply("outis-e2e").force();
        for object in documents(yaml)? {
            let api = self.api(&object).await?;
            let name = object.metadata.name.clone().context("an object without a name")?;
            api.patch(&name, &params, &Patch::Apply(&object))
                .await
                .with_context(|| format!("cannot apply {name}"))?;
        }
        Ok(())
    }

    /// Deletes every object of a manifest and waits until it is gone.
    pub(crate) async fn delete(&self, yaml: &str) -> Result<()> {
        for object in documents(yaml)?.into_iter().rev() {
            let Ok(api) = self.api(&object).await else { continue };
            let name = object.metadata.name.clone().context("an object without a name")?;
            match api.delete(&name, &kube::api::DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(error.into()),
            }
            let gone = async || api.get_opt(&name).await.ok().is_some_and(|found| found.is_none());
            // A definition's finalizer alone may look for its objects for a minute before it begins anew
            // (apiextensions-apiserver, crd_finalizer.go); the product waits as long.
            eventually(Duration::from_secs(120), &format!("{name} gone"), gone).await?;
        }
        Ok(())
    }

    /// Creates one object.
    pub(crate) async fn create(&self, yaml: &str) -> Result<(), kube::Error> {
        self.post(yaml, &PostParams::default()).await
    }

    /// Tries to create one object again and again, eight at a time; how often that worked.
    pub(crate) async fn create_many(&self, yaml: &str, times: usize) -> Result<usize> {
        use futures::StreamExt;
        let object = documents(yaml)?.into_iter().next().context("no object")?;
        let api = self.api(&object).await?;
        let params = PostParams::default();
        let tries = futures::stream::iter(0..times).map(|_| api.create(&params, &object));
        let made = tries.buffer_unordered(8).filter(|made| std::future::ready(made.is_ok())).count().await;
        Ok(made)
    }

    /// Asks the API server to create one object without storing it; gives its refusal as an error.
    pub(crate) async fn try_create(&self, yaml: &str) -> Result<(), kube::Error> {
        self.post(yaml, &PostParams { dry_run: true, ..PostParams::default() }).await
    }

    /// The same for a namespace nobody registered for.
    pub(crate) async fn try_create_elsewhere(&self) -> Result<(), kube::Error> {
        let elsewhere = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: default}\nspec: {containers: [{name: c, image: i}]}\n";
        self.try_create(elsewhere).await
    }

    async fn post(&self, yaml: &str, params: &PostParams) -> Result<(), kube::Error> {
        for object in documents(yaml).expect("our own manifest") {
            let api = self.api(&object).await.expect("a kind of the cluster");
            api.create(params, &object).await?;
        }
        Ok(())
    }

    /// A manifest with the sample shop's image filled in.
    pub(crate) fn good(&self, yaml: &str) -> String {
        yaml.replace("@IMAGE@", &self.with.shop_image)
    }

    /// A pod of the shop.
    pub(crate) async fn get_pod(&self, name: &str) -> Result<Pod> {
        Ok(Api::namespaced(self.client.clone(), "shop").get(name).await?)
    }

    /// Runs `outis --kubeconfig .. ARGS` to its end.
    pub(crate) async fn outis_here(&self, args: &[&str]) -> Result<Ran> {
        let kubeconfig = self.with.kubeconfig.display().to_string();
        let all: Vec<&str> = ["--kubeconfig", &kubeconfig].into_iter().chain(args.iter().copied()).collect();
        self.outis(&all).await
    }

    /// The same; what it printed, if it ended with `code`.
    pub(crate) async fn asked(&self, args: &[&str], code: i32) -> Result<String> {
        let ran = self.outis_here(args).await?;
        let shown = args.join(" ");
        ensure!(ran.code == code, "`outis {shown}` ended with {}: {}{}", ran.code, ran.out, ran.err);
        Ok(ran.out)
    }

    /// Runs a command in a pod; what it printed, and whether it ended well. With a terminal as `kubectl exec -it`.
    pub(crate) async fn exec(&self, pod: &str, command: &[&str], terminal: bool) -> Result<(String, bool)> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "shop");
        let how = AttachParams {
            stdin: terminal,
            stdout: true,
            stderr: !terminal,
            tty: terminal,
            ..AttachParams::default()
        };
        let mut process = pods.exec(pod, command.to_vec(), &how).await.context("cannot exec")?;
        let mut out = String::new();
        if let Some(mut stdout) = process.stdout() {
            tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut out).await?;
        }
        let status = match process.take_status() {
            Some(status) => status.await,
            None => None,
        };
        let well = status.and_then(|status| status.status).is_some_and(|status| status == "Success");
        Ok((out, well))
    }

    /// The running pod of one of the shop's servers.
    pub(crate) async fn pod_of(&self, app: &str) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "shop");
        let list = pods.list(&ListParams::default().labels(&format!("app={app}"))).await?;
        list.items.into_iter().find(ready).with_context(|| format!("no pod of {app} is ready"))
    }

    async fn api(&self, object: &DynamicObject) -> Result<Api<DynamicObject>> {
        let types = object.types.as_ref().context("an object without a kind")?;
        let gvk = GroupVersionKind::try_from(types)?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk).await?;
        Ok(match &object.metadata.namespace {
            Some(ns) => Api::namespaced_with(self.client.clone(), ns, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        })
    }
}

/// Whether a pod's condition `Ready` is true.
pub(crate) fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let deleted = pod.metadata.deletion_timestamp.is_some();
    !deleted && conditions.into_iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True")
}

fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    let values: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    values
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| Ok(serde_json::from_value(value)?))
        .collect()
}

/// Waits until something holds, at most until the deadline; looks ten times a second.
pub(crate) async fn eventually(deadline: Duration, what: &str, holds: impl AsyncFn() -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        if holds().await {
            return Ok(());
        }
        if begun.elapsed() > deadline {
            bail!("not within {} s: {what}", deadline.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
