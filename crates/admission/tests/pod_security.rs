//! The upstream fixtures of the Pod Security Standards, and what they do not reach: older versions,
//! templates, paths.

#![expect(clippy::disallowed_methods, reason = "a test reads fixtures; the engine reads nothing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use outis_admission::scan::{documents, offline_review};
use outis_admission::{Judge, Limits, PolicySet};
use outis_api::AdmissionPolicySpec;
use outis_model::review::{Operation, Review};
use outis_model::{Reason, Verdict};
use serde_json::{Value, json};

/// How many pods upstream tests its newest version with.
const FIXTURES: usize = 148;

fn conformance() -> PathBuf {
    std::env::var_os("OUTIS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    )
}

fn judge(level: &str, version: &str) -> Judge {
    let spec: AdmissionPolicySpec = serde_json::from_value(
        json!({"mode": "enforce", "podSecurity": {"level": level, "version": version}}),
    )
    .expect("a specification");
    let (set, faults) = PolicySet::compile([("pods".parse().expect("a name"), 1, spec)]);
    assert_eq!(faults, []);
    Judge::new(&Arc::new(set))
}

fn reasons(judge: &mut Judge, review: &Review) -> Vec<Reason> {
    let ruling = judge.review(review, Limits::default()).outcome;
    assert_eq!(ruling.evaluated, 1, "the policy must be asked");
    assert!(ruling.findings.iter().all(|finding| finding.verdict == Verdict::Deny), "{ruling:?}");
    ruling.findings.into_iter().map(|finding| finding.reason).collect()
}

/// The checks that fail for `object`, each with its place.
fn check(level: &str, version: &str, object: &Value) -> Vec<(String, String)> {
    let review = offline_review(object).expect("an object");
    reasons(&mut judge(level, version), &review)
        .into_iter()
        .map(|reason| {
            let check = reason.source.expect("a source").trim_start_matches("pods/").to_owned();
            (check, reason.place.expect("a place"))
        })
        .collect()
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})
}

fn checks(level: &str, version: &str, object: &Value) -> Vec<String> {
    check(level, version, object).into_iter().map(|(check, _)| check).collect()
}

#[test]
fn every_upstream_fixture_gets_its_verdict() {
    let root = conformance().join("pod-security");
    let mut run = 0;
    for level in ["baseline", "restricted"] {
        for outcome in ["pass", "fail"] {
            let Ok(folder) = std::fs::read_dir(root.join(level).join("v1.37").join(outcome)) else {
                continue;
            };
            for file in folder {
                let file = file.expect("an entry").path();
                let bytes = std::fs::read(&file).expect("a readable fixture");
                let pods = documents(&bytes, &file.display().to_string()).expect("a manifest");
                let [(_, object)] = pods.as_slice() else { panic!("{file:?} holds one pod") };
                let failed = checks(level, "v1.37", object);
                let name = file.file_stem().expect("a name").to_string_lossy().to_lowercase();
                let id = name.trim_end_matches(|c: char| c.is_ascii_digit());
                match outcome {
                    "pass" => assert!(failed.is_empty(), "{level} {name} must pass, failed {failed:?}"),
                    _ => assert!(
                        failed.iter().any(|check| succeeds(level, id, &check.to_lowercase())),
                        "{level} {name} must fail {id}, failed {failed:?}"
                    ),
                }
                run += 1;
            }
        }
    }
    if run == 0 {
        eprintln!("SKIPPED pod-security: {} holds no fixtures; set OUTIS_CONFORMANCE", root.display());
        return;
    }
    eprintln!("pod-security: {run}/{FIXTURES}");
    assert_eq!(run, FIXTURES);
}

/// A restricted check speaks for the baseline check it takes the place of.
fn succeeds(level: &str, id: &str, failed: &str) -> bool {
    let heir = match id {
        "capabilities_baseline" => "capabilities_restricted",
        "seccompprofile_baseline" => "seccompprofile_restricted",
        "hostpathvolumes" => "restrictedvolumes",
        "procmount" => "procmount_restricted",
        _ => id,
    };
    failed == if level == "restricted" { heir } else { id }
}

#[test]
fn each_version_has_its_own_checks() {
    let sysctl = |name: &str| {
        pod(
            json!({"containers": [{"name": "a"}], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}}),
        )
    };
    for (name, since) in [
        ("net.ipv4.tcp_syncookies", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_rmem", 32),
        ("net.ipv4.tcp_notsent_lowat", 37),
    ] {
        for minor in 0..=38 {
            let expected: &[&str] = if minor >= since { &[] } else { &["sysctls"] };
            assert_eq!(
                checks("baseline", &format!("v1.{minor}"), &sysctl(name)),
                expected,
                "{name} at v1.{minor}"
            );
        }
    }
    let probe =
        pod(json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": 1, "host": "x"}}}]}));
    assert!(checks("baseline", "v1.33", &probe).is_empty());
    assert_eq!(checks("baseline", "v1.34", &probe), ["hostProbesAndHostLifecycle"]);
    let engine = pod(
        json!({"containers": [{"name": "a", "securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}]}),
    );
    assert_eq!(checks("baseline", "v1.30", &engine), ["seLinuxOptions"]);
    assert!(checks("baseline", "v1.31", &engine).is_empty());
}

#[test]
fn before_v1_19_seccomp_is_read_from_annotations() {
    let mut object = pod(
        json!({"containers": [{"name": "a", "securityContext": {"seccompProfile": {"type": "Unconfined"}}}]}),
    );
    assert!(checks("baseline", "v1.18", &object).is_empty());
    assert_eq!(checks("baseline", "v1.19", &object), ["seccompProfile_baseline"]);
    object["metadata"]["annotations"] =
        json!({"container.seccomp.security.alpha.kubernetes.io/a": "unconfined"});
    assert_eq!(
        check("baseline", "v1.18", &object),
        [(
            "seccompProfile_baseline".to_owned(),
            "metadata.annotations[\"container.seccomp.security.alpha.kubernetes.io/a\"]".to_owned()
        )]
    );
}

#[test]
fn restricted_grew_from_version_to_version() {
    let bare = pod(json!({"containers": [{"name": "a"}]}));
    assert_eq!(checks("restricted", "v1.7", &bare), ["runAsNonRoot"]);
    assert_eq!(checks("restricted", "v1.8", &bare), ["allowPrivilegeEscalation", "runAsNonRoot"]);
    let newest =
        ["allowPrivilegeEscalation", "capabilities_restricted", "runAsNonRoot", "seccompProfile_restricted"];
    assert_eq!(checks("restricted", "v1.22", &bare), newest);
    assert_eq!(checks("restricted", "latest", &bare), newest);
    let mut windows = pod(
        json!({"containers": [{"name": "a"}], "os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}}),
    );
    assert_eq!(checks("restricted", "v1.24", &windows).len(), 3);
    assert!(checks("restricted", "v1.25", &windows).is_empty());
    windows["spec"]["hostUsers"] = json!(false);
    windows["spec"]["securityContext"] = json!({"runAsUser": 0});
    assert_eq!(checks("restricted", "v1.34", &windows), ["runAsNonRoot", "runAsUser"]);
    assert!(checks("restricted", "v1.35", &windows).is_empty());
}

#[test]
fn places_are_paths_in_the_object_that_was_written() {
    let spec = json!({
        "containers": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": true}}],
        "initContainers": [{"name": "i", "ports": [{"containerPort": 1}, {"containerPort": 2, "hostPort": 2}]}],
        "ephemeralContainers": [{"name": "e", "securityContext": {"procMount": "Unmasked"}}],
    });
    let places = |prefix: &str| {
        [
            ("hostPorts".to_owned(), format!("{prefix}spec.initContainers[0].ports[1].hostPort")),
            ("privileged".to_owned(), format!("{prefix}spec.containers[1].securityContext.privileged")),
            (
                "procMount".to_owned(),
                format!("{prefix}spec.ephemeralContainers[0].securityContext.procMount"),
            ),
        ]
    };
    assert_eq!(check("baseline", "latest", &pod(spec.clone())), places(""));
    let template = json!({"spec": spec});
    let workload = |api: &str, kind: &str, spec: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "w"}, "spec": spec});
    let inner = json!({"template": template});
    for (api, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("v1", "ReplicationController"),
    ] {
        assert_eq!(
            check("baseline", "latest", &workload(api, kind, inner.clone())),
            places("spec.template."),
            "{kind}"
        );
    }
    let cron = workload("batch/v1", "CronJob", json!({"jobTemplate": {"spec": inner}}));
    assert_eq!(check("baseline", "latest", &cron), places("spec.jobTemplate.spec.template."));
    let bare =
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "w"}, "template": template});
    assert_eq!(check("baseline", "latest", &bare), places("template."));
}

#[test]
fn an_unreadable_pod_is_refused_as_unknown() {
    for object in [
        pod(json!({"containers": [{"name": "a"}], "hostNetwork": "yes"})),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}),
    ] {
        let review = offline_review(&object).expect("an object");
        let ruling = judge("baseline", "latest").review(&review, Limits::default()).outcome;
        assert_eq!(ruling.verdict(), Verdict::Unknown, "{object}");
        assert!(ruling.refuses(), "{object}");
    }
}

#[test]
fn an_update_that_leaves_the_pod_alone_is_not_judged_again() {
    let object = pod(json!({"containers": [{"name": "a"}], "hostNetwork": true}));
    let mut review = offline_review(&object).expect("an object");
    review.operation = Operation::Update;
    review.old_object = Arc::clone(&review.object);
    let mut labelled = object.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    review.object = Arc::new(labelled);
    assert!(reasons(&mut judge("baseline", "latest"), &review).is_empty());
    let mut changed = object;
    changed["spec"]["hostPID"] = json!(true);
    review.object = Arc::new(changed);
    let text = reasons(&mut judge("baseline", "latest"), &review)
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    assert_eq!(
        text,
        [
            "[pods/hostNamespaces] spec.hostNetwork: the pod shares the node's network namespace; to fix: remove hostNetwork",
            "[pods/hostNamespaces] spec.hostPID: the pod shares the node's process namespace; to fix: remove hostPID",
        ]
    );
}

#[test]
fn a_volume_of_a_type_nobody_knows_is_not_restricted() {
    let object = pod(json!({"containers": [], "volumes": [{"name": "v", "quantum": {}}, {"name": "w"}]}));
    let failed = check("restricted", "latest", &object);
    assert_eq!(failed, [("restrictedVolumes".to_owned(), "spec.volumes[0].quantum".to_owned())]);
}
