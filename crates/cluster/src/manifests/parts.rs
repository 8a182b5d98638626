//! What the parts' pods have in common.

use serde_json::{Value, json};

use super::{COMPONENT, PART_OF, Plan, inside, labels};

/// Which pods are a part's.
pub(super) fn selector(part: &str) -> Value {
    json!({PART_OF: "outis", COMPONENT: part})
}

/// A Deployment or DaemonSet around a pod.
pub(super) fn workload(plan: &Plan, kind: &str, part: &str, spec: Value, pod: Value) -> Value {
    let mut whole = json!({"apiVersion": "apps/v1", "kind": kind,
        "metadata": inside(plan, &format!("outis-{part}"), Some(part)),
        "spec": {"selector": {"matchLabels": selector(part)},
            "template": {"metadata": {"labels": labels(plan, Some(part))}, "spec": pod}}});
    let (Value::Object(into), Value::Object(more)) = (&mut whole["spec"], spec) else {
        unreachable!("both are objects")
    };
    into.extend(more);
    whole
}

/// A pod's specification with what all parts share; `own` is merged over it.
pub(super) fn pod(plan: &Plan, part: &str, own: Value) -> Value {
    let mut pod = json!({
        "serviceAccountName": format!("outis-{part}"),
        "priorityClassName": plan.priority_class,
        "terminationGracePeriodSeconds": 15,
        "enableServiceLinks": false,
    });
    let (Value::Object(into), Value::Object(more)) = (&mut pod, own) else {
        unreachable!("both are objects")
    };
    into.extend(more);
    runnable(plan, &mut pod);
    pod
}

/// Keeps pods off nodes the image was not built for.
pub(super) fn runnable(plan: &Plan, pod: &mut Value) {
    if let Some(architecture) = plan.architecture() {
        let fits = json!({"key": "kubernetes.io/arch", "operator": "In", "values": [architecture]});
        pod["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [fits]}]}}});
    }
}

/// Where controller and webhook may run.
pub(super) fn placed(plan: &Plan, pod: &mut Value) {
    if !plan.tolerations.is_empty() {
        pod["tolerations"] = json!(plan.tolerations);
    }
    if !plan.node_selector.is_empty() {
        pod["nodeSelector"] = json!(plan.node_selector);
    }
}

/// The restricted profile, for pods that touch no kernel.
pub(super) fn restricted_pod() -> Value {
    json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"}})
}

pub(super) fn restricted_container() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}

/// A container of our image; `own` is merged over it.
pub(super) fn container(plan: &Plan, name: &str, own: Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [name],
        "env": env(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let (Value::Object(into), Value::Object(more)) = (&mut container, own) else {
        unreachable!("both are objects")
    };
    into.extend(more);
    container
}

fn env() -> Value {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    json!([
        {"name": "OUTIS_NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "OUTIS_POD", "valueFrom": field("metadata.name")},
        {"name": "OUTIS_NODE", "valueFrom": field("spec.nodeName")},
    ])
}

/// Probes of the health door.
pub(super) fn probes(port: u16) -> Value {
    json!({
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": port}, "periodSeconds": 10, "failureThreshold": 6},
        "startupProbe": {"httpGet": {"path": "/livez", "port": port}, "periodSeconds": 1, "failureThreshold": 120},
    })
}

/// Merges objects; later ones win.
pub(super) fn joined(values: impl IntoIterator<Item = Value>) -> Value {
    let mut all = serde_json::Map::new();
    for value in values {
        if let Value::Object(map) = value {
            all.extend(map);
        }
    }
    Value::Object(all)
}

/// A token for the controller and nobody else, short-lived.
pub(super) fn token_volume() -> Value {
    json!({"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"audience": "outis", "expirationSeconds": 600, "path": "token"}}]}})
}

pub(super) fn service(plan: &Plan, part: &str, ports: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": inside(plan, &format!("outis-{part}"), Some(part)),
        "spec": {"selector": selector(part), "ports": ports}})
}
