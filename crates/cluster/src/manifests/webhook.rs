//! The webhook: two that need neither volume nor controller.

use serde_json::{Value, json};

use super::parts::{
    container, joined, placed, pod, probes, restricted_container, restricted_pod, selector, service,
    token_volume, workload,
};
use super::{Plan, inside};

const PART: &str = "webhook";

pub(super) fn ground(plan: &Plan) -> Vec<Value> {
    let ports = json!([{"name": "admit", "port": 443, "targetPort": "admit"}]);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": inside(plan, "outis-webhook", Some(PART)),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector(PART)}}});
    vec![service(plan, PART, &ports), budget]
}

pub(super) fn deployment(plan: &Plan) -> Value {
    let own = json!({
        "ports": [{"name": "admit", "containerPort": 9443}, {"name": "health", "containerPort": 8081}],
        "securityContext": restricted_container(),
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "384Mi"}},
        "volumeMounts": [
            {"name": "serving", "mountPath": "/var/run/secrets/outis-serving", "readOnly": true},
            {"name": "token", "mountPath": "/var/run/secrets/outis", "readOnly": true},
            {"name": "own", "mountPath": "/run/outis-own"},
        ],
    });
    let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": selector(PART)}}]);
    let mut spec = pod(
        plan,
        PART,
        json!({
            "securityContext": restricted_pod(),
            "topologySpreadConstraints": spread,
            "containers": [container(plan, PART, joined([own, probes(8081)]))],
            "volumes": [
                // Not optional: an absent Secret is looked for again within a second or two, an optional one
                // that came later is seen after a minute.
                {"name": "serving", "secret": {"secretName": "outis-webhook-serving"}},
                token_volume(),
                {"name": "own", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
        }),
    );
    placed(plan, &mut spec);
    let around = json!({"replicas": 2, "revisionHistoryLimit": 2,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}});
    workload(plan, "Deployment", PART, around, spec)
}
