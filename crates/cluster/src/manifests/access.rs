//! Who may do what. No wildcards; each part's own account; nothing that writes for agents and webhooks.

use serde_json::{Value, json};

use super::{Plan, inside, outside};

const GROUP: &str = "rbac.authorization.k8s.io";
/// The label of ClusterRoles that let the controller read kinds policies are about.
const AUDIT: &str = "outis.dev/aggregate-to-audit";

pub(super) fn objects(plan: &Plan) -> Vec<Value> {
    let mut all = Vec::new();
    for (part, cluster, local) in [
        ("controller", controller(), controller_local()),
        ("agent", agent(), trust()),
        ("webhook", webhook(), trust()),
    ] {
        let name = format!("outis-{part}");
        all.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": inside(plan, &name, Some(part))}));
        all.push(role(plan, "ClusterRole", &name, cluster));
        all.push(role(plan, "Role", &name, local));
        let account = json!({"kind": "ServiceAccount", "name": name, "namespace": plan.namespace});
        all.push(binding(plan, "ClusterRole", &name, std::slice::from_ref(&account)));
        all.push(binding(plan, "Role", &name, &[account]));
    }
    all.extend(audit(plan));
    all.extend(users(plan));
    all
}

/// What the controller may read to judge what lies in the cluster: policies may be about any kind, and it is not for us
/// to take the right to read all of them. Whoever writes such a policy lets us, by a ClusterRole with this label.
fn audit(plan: &Plan) -> Vec<Value> {
    let name = "outis-audit";
    let account = json!({"kind": "ServiceAccount", "name": "outis-controller", "namespace": plan.namespace});
    let mut role = role(plan, "ClusterRole", name, json!([]));
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {AUDIT: "true"}}]});
    // The API server fills the rules in; who applies an empty list would take them out again.
    role.as_object_mut().map(|role| role.remove("rules"));
    vec![role, binding(plan, "ClusterRole", name, &[account])]
}

/// What a person needs to ask the controller; what it answers is up to their rights elsewhere.
fn users(plan: &Plan) -> Vec<Value> {
    let name = "outis-user";
    let ask = json!([rule("certificates.k8s.io", &["certificatesigningrequests"], &["create"])]);
    let proxy = json!([{"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get"],
        "resourceNames": ["https:outis-controller:api"]}]);
    let mut all = vec![role(plan, "ClusterRole", name, ask), role(plan, "Role", name, proxy)];
    if !plan.user_groups.is_empty() {
        let groups: Vec<Value> = plan
            .user_groups
            .iter()
            .map(|group| json!({"kind": "Group", "name": group, "apiGroup": GROUP}))
            .collect();
        all.push(binding(plan, "ClusterRole", name, &groups));
        all.push(binding(plan, "Role", name, &groups));
    }
    all
}

fn controller() -> Value {
    json!([
        rule("", &["pods", "namespaces", "nodes"], &["get", "list", "watch"]),
        // Pods and what makes them: what policies are about unless they say otherwise is judged where it lies, too.
        rule("", &["podtemplates", "replicationcontrollers"], &["get", "list"]),
        rule("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], &["get", "list"]),
        rule("batch", &["cronjobs", "jobs"], &["get", "list"]),
        // Alerts and refusals are shown where people look: as Events of the object.
        rule("", &["events"], &["create", "patch"]),
        rule("outis.dev", &["outises", "admissionpolicies", "detectionrules"], &["get", "list", "watch"]),
        rule("outis.dev", &["outises/status", "admissionpolicies/status", "detectionrules/status"], &["patch", "update"]),
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
        // The proof of who asks: stamped by the API server, see the server's `proof` page.
        rule("certificates.k8s.io", &["certificatesigningrequests"], &["get"]),
        rule("admissionregistration.k8s.io", &["validatingwebhookconfigurations"], &["create", "list", "watch"]),
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"],
         "resourceNames": [crate::registration::NAME], "verbs": ["get", "patch", "update", "delete"]},
    ])
}

fn controller_local() -> Value {
    json!([
        rule("", &["secrets"], &["create"]),
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch", "update"],
         "resourceNames": ["outis-ca", "outis-ca-seal", "outis-webhook-serving"]},
        rule("", &["configmaps"], &["create"]),
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["outis-trust"], "verbs": ["get", "patch", "update"]},
        rule("coordination.k8s.io", &["leases"], &["create"]),
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["outis-controller"],
         "verbs": ["get", "patch", "update"]},
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("apps", &["daemonsets", "deployments"], &["get", "list"]),
    ])
}

fn agent() -> Value {
    json!([
        rule("", &["pods"], &["get", "list", "watch"]),
        rule("outis.dev", &["outises", "detectionrules"], &["get", "list", "watch"]),
    ])
}

fn webhook() -> Value {
    json!([
        rule("", &["namespaces"], &["get", "list", "watch"]),
        rule("outis.dev", &["outises", "admissionpolicies"], &["get", "list", "watch"]),
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"],
         "resourceNames": [crate::registration::NAME], "verbs": ["get", "list", "watch"]},
    ])
}

/// The controller's roots, by which the others know it.
fn trust() -> Value {
    json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["outis-trust"], "verbs": ["get"]}])
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn metadata(plan: &Plan, kind: &str, name: &str) -> Value {
    match kind {
        "ClusterRole" => outside(plan, name),
        _ => inside(plan, name, None),
    }
}

fn role(plan: &Plan, kind: &str, name: &str, rules: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata(plan, kind, name), "rules": rules})
}

fn binding(plan: &Plan, kind: &str, name: &str, subjects: &[Value]) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": format!("{kind}Binding"),
        "metadata": metadata(plan, kind, name),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name}, "subjects": subjects})
}
