//! Who may see what, and what nobody may see.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, ListParams, LogParams, PostParams};
use serde_json::json;

use super::Found;
use crate::world::{World, eventually};

/// Rights of a developer who may edit namespace shop, and may ask Outis.
const DEVELOPER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: developer, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developer, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: developer, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: shop-developer-asks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: outis-user}
subjects: [{kind: ServiceAccount, name: developer, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: shop-developer-asks, namespace: outis-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: outis-user}
subjects: [{kind: ServiceAccount, name: developer, namespace: shop}]
";

/// A developer of one namespace sees its records and nothing of others.
pub(super) async fn developer(world: &World, found: &Found) -> Result<String> {
    world.apply(DEVELOPER).await?;
    let checked = as_developer(world, found).await;
    world.delete(DEVELOPER).await?;
    checked
}

async fn as_developer(world: &World, found: &Found) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "shop");
    let request = serde_json::from_value(json!({"spec": {"expirationSeconds": 600, "audiences": []}}))?;
    let made = accounts.create_token_request("developer", &PostParams::default(), &request).await?;
    let token = made.status.and_then(|status| status.token).context("no token")?;
    let mut config: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string(&world.with.kubeconfig)?)?;
    config["users"][0]["user"] = json!({"token": token});
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(serde_json::to_string(&config)?.as_bytes())?;
    let kubeconfig = file.path().display().to_string();
    let ask = async |args: &[&str]| {
        let all: Vec<&str> = ["--kubeconfig", &kubeconfig].into_iter().chain(args.iter().copied()).collect();
        world.outis(&all).await
    };
    let own = ask(&["events", "-n", "shop"]).await?;
    ensure!(own.code == 0 && own.out.contains("Pod shop/"), "own records: {}{}", own.out, own.err);
    let refusal = found.refusal.as_deref().context("nothing was refused")?;
    let why = ask(&["why", refusal]).await?;
    ensure!(why.code == 0 && why.out.contains("shop-limits"), "own decision: {}{}", why.out, why.err);
    let foreign = world.asked(&["events", "--kind", "component", "-o", "json"], 0).await?;
    let id = foreign.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).next();
    let id =
        id.and_then(|line| line["id"].as_str().map(str::to_owned)).context("no record of a component")?;
    for (args, part) in [
        (vec!["events"], "may not read the records of all namespaces"),
        (vec!["events", "-n", "kube-system"], "may not read the records of namespace kube-system"),
        (vec!["why", &id], "no record"),
        (vec!["log", "verify"], "may not read the records of all namespaces"),
    ] {
        let refused = ask(&args).await?;
        ensure!(
            refused.code == 2 && refused.err.contains(part),
            "{args:?} ended with {}: {}{}",
            refused.code,
            refused.out,
            refused.err
        );
    }
    Ok("events and why of shop; everything else refused by name".into())
}

/// The answer to a Secret whose value a policy quotes in its message.
async fn quoted_secret(world: &World, marker: &str) -> Result<String> {
    let policy = "apiVersion: outis.dev/v1alpha1\nkind: AdmissionPolicy\nmetadata: {name: shop-secrets}\nspec:\n  mode: enforce\n  \
                  match: {namespaces: [shop], kinds: [{apiGroups: [''], kinds: [Secret]}]}\n  cel:\n    validations:\n    - \
                  expression: \"!has(object.data) || !('quoted' in object.data)\"\n      messageExpression: \"'quoted is ' + \
                  object.data.quoted\"\n";
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: quoted, namespace: shop}}\nstringData: {{quoted: {marker}}}\n"
    );
    world.apply(policy).await?;
    let refused = async || match world.try_create(&secret).await {
        Err(kube::Error::Api(status)) => Some(status.message),
        _ => None,
    };
    eventually(Duration::from_secs(20), "the Secret is refused", async || refused().await.is_some()).await?;
    let message = refused().await.context("the Secret was admitted")?;
    world.delete(policy).await?;
    ensure!(message.contains("quoted is [redacted]"), "the message does not hide the value: {message}");
    Ok(message)
}

/// A marker in a Secret, an environment value, an argument and a command line is found in no answer, record, log,
/// Event or file.
pub(super) async fn redacted(world: &World) -> Result<String> {
    const MARKER: &str = "hunter2-marker-77";
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: leaky, namespace: shop}}\nspec:\n  containers:\n  - name: c\n    image: \
         registry.example.org/x:1\n    args: ['--password={MARKER}']\n    env: [{{name: DB_PASSWORD, value: {MARKER}}}]\n"
    );
    let mut answers = Vec::new();
    match world.create(&pod).await {
        Err(kube::Error::Api(status)) => answers.push(status.message.clone()),
        other => anyhow::bail!("the leaky pod was not refused: {other:?}"),
    }
    answers.push(quoted_secret(world, MARKER).await?);
    let frontend = world.pod_of("frontend").await?.metadata.name.context("a pod without a name")?;
    let alerts = async || {
        world
            .asked(&["events", "--kind", "alert", "-n", "shop", "-o", "json"], 0)
            .await
            .map(|said| said.lines().count())
    };
    let before = alerts().await?;
    let command = format!("echo hello; true --password={MARKER} --token {MARKER}");
    world.exec(&frontend, &["/bin/sh", "-c", &command], true).await?;
    let told = async || alerts().await.is_ok_and(|count| count > before);
    eventually(Duration::from_secs(20), "the shell is told", told).await?;
    let mut places = vec![("log", world.asked(&["log", "export"], 0).await?)];
    places.extend(answers.into_iter().map(|answer| ("answer", answer)));
    let files = format!(
        "grep -rlaF {MARKER} /run/outis /var/lib/outis-agent \"$OUTIS_CLUSTER_STATE\"/node*/pv 2>/dev/null || true"
    );
    places.extend(world.on_nodes(&files).await?.into_iter().map(|found| ("names of files on a node", found)));
    let holding = world.on_nodes(&files.replace(MARKER, "leaky")).await?;
    ensure!(
        holding.is_empty() || holding.iter().any(|found| !found.trim().is_empty()),
        "no file was looked into"
    );
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "outis-system");
    for pod in pods.list(&ListParams::default()).await?.items {
        let name = pod.metadata.name.unwrap_or_default();
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let of = LogParams { container: Some(container.name.clone()), ..LogParams::default() };
            places.push(("output of a part", pods.logs(&name, &of).await.unwrap_or_default()));
        }
    }
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(world.client.clone(), "shop");
    let ours = ListParams::default().fields("reportingComponent=outis.dev/controller");
    places.push(("Events", serde_json::to_string(&events.list(&ours).await?.items)?));
    ensure!(
        places.iter().any(|(place, text)| *place == "log" && text.contains("leaky")),
        "the refusal is not in the log"
    );
    for (place, text) in &places {
        ensure!(!text.contains(MARKER), "the marker is in the {place}: {text}");
        ensure!(*place != "names of files on a node" || text.trim().is_empty(), "the marker is in {text}");
    }
    Ok(format!("{} places looked at", places.len()))
}
