use super::*;

pub(crate) fn plan() -> Plan {
    Plan {
        namespace: "outis-system".parse().expect("name"),
        image: "localhost/outis/outis:0.1.0".into(),
        version: "0.1.0".into(),
        trust_domain: "cluster.local".parse().expect("name"),
        storage: Storage::Class(None),
        kubelet_dir: "/var/lib/kubelet".into(),
        tolerations: vec![],
        node_selector: BTreeMap::new(),
        priority_class: "system-node-critical".into(),
        user_groups: vec![],
        owner: Some("u-1".into()),
    }
}

fn named(kind: &str, name: &str) -> Value {
    let found = all(&plan()).into_iter().find(|object| {
        object.types.as_ref().is_some_and(|types| types.kind == kind)
            && object.metadata.name.as_deref() == Some(name)
    });
    serde_json::to_value(found.unwrap_or_else(|| panic!("{kind} {name}"))).expect("JSON")
}

#[test]
fn no_pod_is_put_on_a_node_its_image_was_not_built_for() {
    const WHERE: &str = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/\
                         nodeSelectorTerms/0/matchExpressions/0/values";
    let local = plan();
    let pods = parts(&local).into_iter().chain([cleanup(&local)]);
    for object in pods {
        let object = serde_json::to_value(object).expect("JSON");
        assert_eq!(object.pointer(WHERE), Some(&json!([architecture()])), "{}", object["metadata"]["name"]);
    }
    let pulled = Plan { image: "registry.example/outis:0.1.0".into(), ..local };
    let agent = serde_json::to_value(&parts(&pulled)[1]).expect("JSON");
    assert_eq!(agent.pointer(WHERE), None, "a registry may have the image for several");
}

#[test]
fn no_right_is_a_wildcard() {
    for object in all(&plan()) {
        let Some(rules) = object.data.get("rules").and_then(Value::as_array) else { continue };
        for rule in rules {
            let text = rule.to_string();
            assert!(!text.contains("\"*\""), "{}: {text}", object.metadata.name.unwrap_or_default());
        }
    }
}

#[test]
fn agents_and_webhooks_write_nothing() {
    for name in ["outis-agent", "outis-webhook"] {
        for kind in ["ClusterRole", "Role"] {
            let text = named(kind, name).to_string();
            for verb in ["create", "update", "patch", "delete"] {
                assert!(!text.contains(&format!("\"{verb}\"")), "{kind} {name}: {verb}");
            }
        }
    }
}

#[test]
fn a_webhook_may_watch_the_one_registration_and_no_other() {
    let rules = named("ClusterRole", "outis-webhook")["rules"].as_array().cloned().expect("rules");
    let about = |rule: &&Value| rule["resources"] == json!(["validatingwebhookconfigurations"]);
    let found: Vec<&Value> = rules.iter().filter(about).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["resourceNames"], json!(["outis"]));
    assert_eq!(found[0]["verbs"], json!(["get", "list", "watch"]));
}

#[test]
fn kinds_beyond_pods_are_read_where_somebody_lets_us() {
    let role = named("ClusterRole", "outis-audit");
    let label = &role["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"];
    assert_eq!(label, &json!({"outis.dev/aggregate-to-audit": "true"}));
    assert_eq!(role["rules"], Value::Null, "the API server fills them in");
    assert_eq!(named("ClusterRoleBinding", "outis-audit")["subjects"][0]["name"], "outis-controller");
}

#[test]
fn what_would_harm_without_us_goes_with_our_namespace() {
    for (kind, name) in [
        ("ClusterRole", "outis-controller"),
        ("ClusterRoleBinding", "outis-agent"),
        ("CSIDriver", "csi.outis.dev"),
    ] {
        assert_eq!(named(kind, name)["metadata"]["ownerReferences"][0]["uid"], "u-1", "{kind}");
    }
    let definition = named("CustomResourceDefinition", "admissionpolicies.outis.dev");
    assert_eq!(definition["metadata"]["ownerReferences"], Value::Null, "users' policies would go with it");
}

#[test]
fn only_the_volume_driver_is_privileged() {
    for object in all(&plan()) {
        let containers =
            object.data.pointer("/spec/template/spec/containers").and_then(Value::as_array).cloned();
        for container in containers.unwrap_or_default() {
            let privileged = container["securityContext"]["privileged"] == true;
            assert_eq!(privileged, container["name"] == "csi", "{container}");
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        }
    }
}

#[test]
fn the_policy_names_every_port_of_the_webhook_but_the_one_nobody_may_reach() {
    let policy = named("NetworkPolicy", "outis-webhook");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]), "calls of ours go out as before");
    assert_eq!(policy["spec"]["ingress"][0]["from"], Value::Null, "API servers call from anywhere");
    let deployment = named("Deployment", "outis-webhook");
    let template = &deployment["spec"]["template"];
    for (key, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(&template["metadata"]["labels"][key], value);
    }
    let ports = |values: &Value, key: &str| -> Vec<u64> {
        values.as_array().into_iter().flatten().filter_map(|port| port[key].as_u64()).collect()
    };
    let mut opened = ports(&policy["spec"]["ingress"][0]["ports"], "port");
    opened.push(CANARY_DENIED.into());
    assert_eq!(opened, ports(&template["spec"]["containers"][0]["ports"], "containerPort"));
}

#[test]
fn users_are_bound_only_when_asked_for() {
    let bound = |groups: &[&str]| {
        let plan = Plan { user_groups: groups.iter().map(ToString::to_string).collect(), ..plan() };
        let all = all(&plan);
        let bindings = all.iter().filter(|object| {
            object.metadata.name.as_deref() == Some("outis-user")
                && object.types.as_ref().is_some_and(|types| types.kind.ends_with("Binding"))
        });
        bindings.count()
    };
    assert_eq!((bound(&[]), bound(&["developers"])), (0, 2));
}
