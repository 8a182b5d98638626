//! Files and stores that cannot be used.

use std::collections::BTreeMap;
use std::path::Path;

use outis_model::alert::Priority;
use outis_model::record::Subject;
use outis_model::{Record, RecordId, RecordKind, Timestamp};
use outis_store::{Log, Options};

use crate::house::outis;

/// A store with one acknowledged record, open.
async fn store(dir: &Path) -> Log {
    let log = Log::open(dir, &Options::default()).expect("a new one");
    let now = Timestamp::now();
    let record = Record {
        id: RecordId::new(now, 7),
        time: now,
        kind: RecordKind::Configuration,
        actor: "jo".into(),
        subject: Subject::default(),
        summary: "something happened".into(),
        verdict: None,
        mode: None,
        priority: Priority::Notice,
        because: vec![],
        fields: BTreeMap::new(),
    };
    log.append(vec![record]).await.expect("on disk");
    log
}

#[tokio::test]
async fn store_locked() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().to_str().expect("text");
    let held = store(dir.path()).await;
    let told = format!("error: cannot open the store in {path}: ");
    for command in ["check", "repair"] {
        let owner = "is in use by another process; the store has one owner - stop it, or ask it";
        outis(&["store", command, path]).fails(2, &[&told, owner]);
    }
    drop(held);
    outis(&["store", "check", path]).ends(0, &["verified: 1 records"]);
}

#[tokio::test]
async fn store_newer() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().to_str().expect("text");
    drop(store(dir.path()).await);
    std::fs::write(dir.path().join("FORMAT"), "7\n").expect("written");
    let told = format!(
        "error: cannot open the store in {path}: {path} has format 7, this version reads up to 1; use the"
    );
    for command in ["check", "repair"] {
        outis(&["store", command, path]).fails(2, &[&told, "newer version, or restore a backup"]);
    }
    std::fs::write(dir.path().join("FORMAT"), "1\n").expect("written");
    outis(&["store", "check", path]).ends(0, &["verified: 1 records"]);
    let spool = tempfile::tempdir().expect("dir");
    std::fs::write(spool.path().join("FORMAT"), "7\n").expect("written");
    let state = format!("--state-dir={}", spool.path().display());
    let agent = outis(&["agent", "--node=n1", "--controller=none", "--health-address=127.0.0.1:0", &state]);
    agent.fails(
        2,
        &["cannot open the spool in ", "has format 7, this version reads up to 1; use the newer version"],
    );
}

#[test]
fn unreadable_rule_file() {
    let dir = tempfile::tempdir().expect("dir");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let head = "- rule: x\n  desc: y\n  output: z\n  priority: INFO\n";
    for (name, bytes, place) in [
        ("yaml.yaml", b"- rule: x\n  desc: [y\n  output: z\n".to_vec(), ":3:"),
        ("condition.yaml", format!("{head}  condition: evt.type = execve and\n").into_bytes(), ":5:35: "),
        (
            "latin.yaml",
            b"- rule: x\n  desc: \xfc\n".to_vec(),
            ":2:9: this is no UTF-8; save the file as UTF-8 text",
        ),
    ] {
        let file = write(name, &bytes);
        let told = format!("{file}{place}");
        outis(&["detect", "lint", &file]).ends(1, &["fault ", &told]);
        outis(&["detect", "rules", &file]).ends(1, &[&told]);
        let recording = write("recording.jsonl", b"");
        let replayed = outis(&["detect", "replay", &recording, "--rules", &file]);
        replayed.fails(64, &["error: rules that cannot be used:", &told]);
    }
    let missing = outis(&["detect", "lint", "/nowhere/rules.yaml"]);
    missing.fails(2, &["error: cannot open /nowhere/rules.yaml: No such file or directory"]);
}

#[test]
fn unreadable_policy_file() {
    let dir = tempfile::tempdir().expect("dir");
    let (policy, pod) = (dir.path().join("policy.yaml"), dir.path().join("pod.yaml"));
    std::fs::write(&pod, "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n").expect("written");
    let head = "apiVersion: outis.dev/v1alpha1\nkind: AdmissionPolicy\nmetadata: {name: p}\nspec:\n";
    for (text, parts) in [
        (
            format!("# one\n---\n{head}  podSecurity: [\n"),
            ["policy.yaml:3: cannot read the document", "line "],
        ),
        (format!("{head}  rego: {{source: 'package x'}}\n"), ["policies that cannot be used:", "p"]),
        (
            format!("{head}  podSecurity: {{level: high}}\n"),
            ["policy.yaml:1: not an AdmissionPolicy", "high"],
        ),
    ] {
        std::fs::write(&policy, text).expect("written");
        let (policy, pod) = (policy.to_str().expect("text"), pod.to_str().expect("text"));
        outis(&["scan", pod, "--policies", policy]).fails(64, &parts);
    }
}
