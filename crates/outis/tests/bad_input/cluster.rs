//! Clusters that are not there, not ours, or not as they should be.

use std::io::Write;

use serde_json::{Value, json};

use crate::house::api::{Api, Rights, kubeconfig};
use crate::house::{outis, outis_with};

/// What asks a cluster first thing, modes included.
const ASKING: [&[&str]; 10] = [
    &["install"],
    &["uninstall", "--yes"],
    &["status"],
    &["doctor"],
    &["events"],
    &["identity", "list"],
    &["log", "verify"],
    &["detect", "rules"],
    &[
        "controller",
        "--link-address=127.0.0.1:0",
        "--api-address=127.0.0.1:0",
        "--health-address=127.0.0.1:0",
    ],
    &[
        "webhook",
        "--address=127.0.0.1:0",
        "--health-address=127.0.0.1:0",
        "--canary-open-address=127.0.0.1:0",
        "--canary-denied-address=127.0.0.1:0",
    ],
];

#[test]
fn no_cluster() {
    let nowhere = kubeconfig("http://127.0.0.1:1");
    let path = nowhere.path().to_str().expect("text");
    for command in ASKING {
        let all: Vec<&str> = command.iter().copied().chain(["--kubeconfig", path]).collect();
        let reach = "error: cannot reach the API server at http://127.0.0.1:1/; is the cluster up";
        outis(&all).fails(2, &[reach, "Connection refused"]);
        let none = "error: no cluster to talk to: there is no kubeconfig and this is no pod; name one with --kubeconfig";
        outis(command).fails(64, &[none]);
    }
}

#[test]
fn wrong_kubeconfig_missing_file() {
    let told =
        ["error: cannot use the kubeconfig /nowhere/config; name another with --kubeconfig", "No such file"];
    outis(&["status", "--kubeconfig", "/nowhere/config"]).fails(64, &told);
    outis_with(&[("KUBECONFIG", "/nowhere/config")], &["status"]).fails(64, &told);
}

#[test]
fn wrong_kubeconfig_not_yaml() {
    for text in ["clusters: [", "just words", "\u{1}"] {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(text.as_bytes()).expect("written");
        let path = file.path().to_str().expect("text");
        let told = format!("error: cannot use the kubeconfig {path}; name another with --kubeconfig");
        outis(&["doctor", "--kubeconfig", path]).fails(64, &[&told]);
    }
}

#[test]
fn wrong_kubeconfig_wrong_context() {
    let file = kubeconfig("http://127.0.0.1:1");
    let path = file.path().to_str().expect("text");
    let told = format!(
        "error: the kubeconfig {path} has no context \"prod\"; it has dev: choose one with --context"
    );
    outis(&["install", "--kubeconfig", path, "--context", "prod"]).fails(64, &[&told]);
    outis_with(&[("KUBECONFIG", path)], &["install", "--context", "prod"]).fails(64, &[&told]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_permission() {
    let api = Api::serve(Rights::None, &[]).await;
    let ask = |command: &[&str]| outis(&[command, &["--kubeconfig", api.kubeconfig()]].concat());
    ask(&["install"]).fails(
        2,
        &[
            "error: nothing was changed, because:",
            "you may not patch namespaces, patch customresourcedefinitions, patch clusterroles",
            "install as a cluster administrator, or apply `outis install --dry-run -o yaml` as one",
        ],
    );
    let advice = "ask a cluster administrator for that right, or take another user's --context";
    ask(&["uninstall", "--yes"]).fails(2, &["error: cannot look at the namespace: ", "is forbidden", advice]);
    ask(&["detect", "rules"])
        .fails(2, &["error: cannot list the cluster's detection rules", "is forbidden", advice]);
    ask(&["events"]).fails(2, &["error: you may not ask Outis: ", "`outis install --users GROUP`"]);
    ask(&["status"])
        .ends(2, &["the parts cannot be read: ", "the controller cannot be asked: you may not ask Outis"]);
    ask(&["doctor"]).ends(
        1,
        &[
            "you may not patch clusterroles",
            "unknown  parts: whether Outis is installed cannot be read: ",
            "fix: ask a cluster administrator to install or repair Outis",
        ],
    );
    // Whoever asks leaves a certificate request behind to prove who they are; here it was refused.
    let changes = api.changes();
    assert!(changes.iter().all(|change| change.ends_with("/certificatesigningrequests")), "{changes:?}");
}

/// A cluster that is fit for an install, with these deployments.
async fn fit(deployments: Vec<Value>) -> Api {
    let class = json!({"metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p"});
    Api::serve(
        Rights::All,
        &[
            ("/api/v1/nodes", vec![json!({"metadata": {"name": "n1"}})]),
            ("/apis/storage.k8s.io/v1/storageclasses", vec![class]),
            ("/apis/apps/v1/deployments", deployments),
        ],
    )
    .await
}

fn installed(namespace: &str, version: &str) -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/part-of": "outis", "app.kubernetes.io/version": version});
    vec![json!({"metadata": {"name": "outis-controller", "namespace": namespace, "labels": labels}})]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_installed() {
    let ours = env!("CARGO_PKG_VERSION");
    let install =
        |api: &Api| outis(&["install", "--image", "r.example/outis:1", "--kubeconfig", api.kubeconfig()]);
    let api = fit(installed("outis-system", "0.0.9")).await;
    let told =
        format!("version 0.0.9 is installed and this is {ours}; go over it with --replace, or use the");
    install(&api).fails(2, &["error: nothing was changed, because:", &told]);
    assert_eq!(api.changes(), [""; 0]);
    let api = fit(installed("security", ours)).await;
    install(&api).fails(
        2,
        &["Outis is installed in namespace security; use --system-namespace security, or uninstall"],
    );
    assert_eq!(api.changes(), [""; 0]);
}
