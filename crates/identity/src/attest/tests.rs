use std::collections::BTreeMap;

use super::*;

fn system() -> Namespace {
    "outis-system".parse().expect("ns")
}

fn pod() -> Pod {
    Pod {
        namespace: system(),
        name: "outis-agent-x".parse().expect("name"),
        uid: "u-1".parse().expect("uid"),
        config_hash: None,
        node: Some("node-1".parse().expect("node")),
        service_account: "outis-agent".parse().expect("account"),
        addresses: vec![],
        host_network: false,
        labels: BTreeMap::new(),
        owner: None,
        containers: vec![],
        ready: true,
        ended: false,
    }
}

fn facts() -> TokenFacts {
    TokenFacts {
        authenticated: true,
        audiences: vec!["outis".into()],
        username: "system:serviceaccount:outis-system:outis-agent".into(),
        pod_name: "outis-agent-x".into(),
        pod_uid: "u-1".into(),
    }
}

#[test]
fn our_agent_is_believed_and_its_node_is_the_pods() {
    let domain: TrustDomain = "cluster.local".parse().expect("domain");
    let agent = component(&facts(), Some(&pod()), &system()).expect("believed");
    assert_eq!((agent.role, agent.node.as_str()), (Role::Agent, "node-1"));
    assert_eq!(component_of(&domain, &component_id(&domain, &agent)), Some(agent));
    assert_eq!(component_of(&domain, &"spiffe://other/outis/agent/n/p".parse().expect("id")), None);
    assert_eq!(
        component_of(&domain, &domain.workload(&system(), &"default".parse().expect("account"))),
        None
    );
}

#[test]
fn our_webhook_is_believed_too() {
    let domain: TrustDomain = "cluster.local".parse().expect("domain");
    let username = "system:serviceaccount:outis-system:outis-webhook".into();
    let webhook = component(&TokenFacts { username, ..facts() }, Some(&pod()), &system()).expect("believed");
    assert_eq!(webhook.role, Role::Webhook);
    assert_eq!(component_of(&domain, &component_id(&domain, &webhook)), Some(webhook));
}

#[test]
fn each_rule_refuses_by_its_own_name() {
    let judged = |facts: TokenFacts, pod: Option<Pod>| {
        component(&facts, pod.as_ref(), &system()).expect_err("refused")
    };
    let bad = TokenFacts { authenticated: false, ..facts() };
    assert_eq!(judged(bad, Some(pod())), NotBelieved::Unauthenticated);
    for audiences in [vec![], vec!["https://kubernetes.default.svc".to_owned()]] {
        assert!(matches!(judged(TokenFacts { audiences, ..facts() }, Some(pod())), NotBelieved::Audience(_)));
    }
    for username in
        ["system:serviceaccount:outis-system:default", "system:serviceaccount:shop:outis-agent", "jo"]
    {
        let other = TokenFacts { username: username.into(), ..facts() };
        assert_eq!(judged(other, Some(pod())), NotBelieved::Account(username.into()));
    }
    let other = TokenFacts { pod_uid: "u-2".into(), ..facts() };
    assert_eq!(judged(other, Some(pod())), NotBelieved::Pod { token: "u-2".into(), found: "u-1".into() });
    assert!(matches!(judged(facts(), None), NotBelieved::Pod { .. }));
    assert_eq!(judged(facts(), Some(Pod { node: None, ..pod() })), NotBelieved::Node("outis-agent-x".into()));
}

#[test]
fn a_node_gets_identities_for_its_own_pods_alone() {
    let domain: TrustDomain = "cluster.local".parse().expect("domain");
    let (own, other) = ("node-1".parse().expect("node"), "node-2".parse().expect("node"));
    let id = entitled(&domain, &own, &pod()).expect("entitled");
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/outis-system/sa/outis-agent");
    let told = entitled(&domain, &other, &pod()).expect_err("foreign").to_string();
    assert_eq!(told, "pod outis-system/outis-agent-x is on node node-1, not on node-2");
}

#[test]
fn an_ended_pod_is_nobody() {
    let (domain, node): (TrustDomain, NodeName) =
        ("cluster.local".parse().expect("domain"), "node-1".parse().expect("node"));
    let ended = Pod { ended: true, ..pod() };
    let gone = NotBelieved::Ended("outis-system/outis-agent-x".into());
    assert_eq!(entitled(&domain, &node, &ended), Err(gone.clone()));
    assert_eq!(component(&facts(), Some(&ended), &system()), Err(gone));
}

#[test]
fn a_pod_of_ours_is_the_component_it_is_meant_to_be_and_others_are_none() {
    let agent = component(&facts(), Some(&pod()), &system()).expect("believed");
    assert_eq!(component_in(&pod(), &system()), Some(agent));
    for other in [
        Pod { ended: true, ..pod() },
        Pod { node: None, ..pod() },
        Pod { namespace: "shop".parse().expect("ns"), ..pod() },
        Pod { service_account: "default".parse().expect("account"), ..pod() },
    ] {
        assert_eq!(component_in(&other, &system()), None);
    }
}
