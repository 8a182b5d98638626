//! The webhook: two that need neither volume nor controller.

use serde_json::{Value, json};

use super::parts::{
    container, joined, placed, pod, probes, restricted_container, restricted_pod, selector, service,
    token_volume, workload,
};
use super::{Plan, inside};

const PART: &str = "webhook";
/// Where the API server calls.
const ADMIT: u16 = 9443;
/// Where kubelet and Prometheus ask.
const HEALTH: u16 = 8081;
/// The canary's port that the policy below lets everybody reach.
pub const CANARY_OPEN: u16 = 9451;
/// The canary's port that it lets nobody reach. Whoever reaches it anyway knows that nobody enforces the policy.
pub const CANARY_DENIED: u16 = 9452;

pub(super) fn ground(plan: &Plan) -> Vec<Value> {
    let ports = json!([{"name": "admit", "port": 443, "targetPort": "admit"}]);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": inside(plan, "outis-webhook", Some(PART)),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector(PART)}}});
    vec![service(plan, PART, &ports), budget, policy(plan)]
}

/// All but one of our ports are open to everybody: the API server and kubelet call from nodes, whose addresses no
/// selector names, and the controller probes from its pod.
fn policy(plan: &Plan) -> Value {
    let ports = [ADMIT, HEALTH, CANARY_OPEN].map(|port| json!({"protocol": "TCP", "port": port}));
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": inside(plan, "outis-webhook", Some(PART)),
        "spec": {"podSelector": {"matchLabels": selector(PART)}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": ports}]}})
}

pub(super) fn deployment(plan: &Plan) -> Value {
    let own = json!({
        "ports": [{"name": "admit", "containerPort": ADMIT}, {"name": "health", "containerPort": HEALTH},
            {"name": "canary-open", "containerPort": CANARY_OPEN},
            {"name": "canary-denied", "containerPort": CANARY_DENIED}],
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
            "containers": [container(plan, PART, joined([own, probes(HEALTH)]))],
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
