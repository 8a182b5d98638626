//! The controller: one, with a volume. `Recreate`, because the store has one owner.

use serde_json::{Value, json};

use super::parts::{
    container, joined, placed, pod, probes, restricted_container, restricted_pod, service, workload,
};
use super::{Plan, Storage, inside};

const PART: &str = "controller";
/// The claim's name.
pub(super) const CLAIM: &str = "outis-store";

pub(super) fn ground(plan: &Plan) -> Vec<Value> {
    let ports = json!([
        {"name": "link", "port": 8443, "targetPort": "link"},
        {"name": "api", "port": 8444, "targetPort": "api"},
    ]);
    vec![service(plan, PART, &ports), claim(plan)]
}

fn claim(plan: &Plan) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    match &plan.storage {
        Storage::Class(Some(class)) => spec["storageClassName"] = json!(class),
        Storage::Class(None) => {}
        Storage::Volume { name, class } => {
            spec["volumeName"] = json!(name);
            spec["storageClassName"] = json!(class);
        }
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": inside(plan, CLAIM, Some(PART)), "spec": spec})
}

pub(super) fn deployment(plan: &Plan) -> Value {
    let own = json!({
        "ports": [{"name": "link", "containerPort": 8443}, {"name": "api", "containerPort": 8444},
            {"name": "health", "containerPort": 8081}],
        "securityContext": restricted_container(),
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [{"name": "store", "mountPath": "/var/lib/outis"}],
    });
    let mut spec = pod(
        plan,
        PART,
        json!({
            "securityContext": restricted_pod(),
            "containers": [container(plan, PART, joined([own, probes(8081)]))],
            "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": CLAIM}}],
        }),
    );
    placed(plan, &mut spec);
    let around = json!({"replicas": 1, "strategy": {"type": "Recreate"}, "revisionHistoryLimit": 2});
    workload(plan, "Deployment", PART, around, spec)
}
