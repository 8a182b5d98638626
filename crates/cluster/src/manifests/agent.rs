//! The agent: one per node, with the rights kernel programs take, and the CSI driver beside it in a container
//! of its own, which alone is privileged (mount propagation takes that).

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::parts::{container, joined, pod, probes, runnable, token_volume, workload};
use super::{COMPONENT, PART_OF, Plan, inside, labels, outside};

const PART: &str = "agent";
/// The directory of the Workload API's socket, on the node and in our containers.
const SOCKETS: &str = "/run/outis";
/// Spool and state, on the node.
const STATE: &str = "/var/lib/outis-agent";

pub(super) fn ground(plan: &Plan) -> Vec<Value> {
    let mut driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": outside(plan, "csi.outis.dev"),
        "spec": {"attachRequired": false, "podInfoOnMount": true, "fsGroupPolicy": "None",
            "volumeLifecycleModes": ["Ephemeral"]}});
    // Without it namespaces of the restricted profile refuse pods with our volume.
    driver["metadata"]["labels"]["security.kubernetes.io/csi-ephemeral-volume-profile"] = json!("restricted");
    vec![driver]
}

pub(super) fn daemon_set(plan: &Plan) -> Value {
    let spec = pod(
        plan,
        PART,
        json!({
            // Processes are named by the ids the node knows them by.
            "hostPID": true,
            "tolerations": [{"operator": "Exists"}],
            "containers": [agent(plan), csi(plan)],
            "volumes": [
                {"name": "sockets", "hostPath": {"path": SOCKETS, "type": "DirectoryOrCreate"}},
                {"name": "state", "hostPath": {"path": STATE, "type": "DirectoryOrCreate"}},
                // Numbers of tracepoints; a container's own /sys does not show them.
                {"name": "tracefs", "hostPath": {"path": "/sys/kernel/tracing"}},
                {"name": "kubelet", "hostPath": {"path": plan.kubelet_dir, "type": "Directory"}},
                token_volume(),
                {"name": "own", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
        }),
    );
    let around = json!({"revisionHistoryLimit": 2,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}});
    workload(plan, "DaemonSet", PART, around, spec)
}

fn agent(plan: &Plan) -> Value {
    let own = json!({
        "ports": [{"name": "health", "containerPort": 8081}],
        "securityContext": {
            "runAsUser": 0,
            "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false,
            // BPF and PERFMON load and attach programs; SYS_PTRACE and DAC_READ_SEARCH read other processes'
            // entries of /proc.
            "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            // A runtime's default AppArmor profile forbids to read other processes.
            "appArmorProfile": {"type": "Unconfined"},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "sockets", "mountPath": SOCKETS},
            {"name": "state", "mountPath": STATE},
            {"name": "token", "mountPath": "/var/run/secrets/outis", "readOnly": true},
            {"name": "own", "mountPath": "/run/outis-own"},
            {"name": "tracefs", "mountPath": "/sys/kernel/tracing", "readOnly": true},
        ],
    });
    container(plan, PART, joined([own, probes(8081)]))
}

fn csi(plan: &Plan) -> Value {
    let own = json!({
        "args": ["csi", "--kubelet-dir", plan.kubelet_dir],
        "securityContext": {"runAsUser": 0, "privileged": true, "readOnlyRootFilesystem": true},
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [
            {"name": "sockets", "mountPath": SOCKETS},
            {"name": "kubelet", "mountPath": plan.kubelet_dir, "mountPropagation": "Bidirectional"},
        ],
    });
    container(plan, "csi", joined([own, probes(8082)]))
}

/// What takes our files off the nodes, after the agents are gone: a pod per node that says ready when it is done.
#[must_use]
pub fn cleanup(plan: &Plan) -> DynamicObject {
    let name = "cleanup";
    let own = json!({
        "args": ["cleanup", "/node/run/outis", "/node/lib/outis-agent"],
        "securityContext": {"runAsUser": 0, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumeMounts": [{"name": "run", "mountPath": "/node/run"}, {"name": "lib", "mountPath": "/node/lib"}],
        "readinessProbe": probes(8081)["readinessProbe"],
    });
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "priorityClassName": plan.priority_class,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container(plan, name, own)],
        "volumes": [
            {"name": "run", "hostPath": {"path": "/run", "type": "Directory"}},
            {"name": "lib", "hostPath": {"path": "/var/lib", "type": "Directory"}},
        ],
    });
    runnable(plan, &mut spec);
    let selector = json!({PART_OF: "outis", COMPONENT: name});
    let value = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": inside(plan, "outis-cleanup", Some(name)),
        "spec": {"selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels(plan, Some(name))}, "spec": spec}}});
    serde_json::from_value(value).expect("our own manifest has a kind and a name")
}
