use proptest::prelude::*;

use super::*;

fn pod(ns: &str, name: &str, uid: &str) -> Object {
    Object::Pod(Pod {
        namespace: ns.parse().expect("ns"),
        name: name.parse().expect("name"),
        uid: uid.parse().expect("uid"),
        config_hash: None,
        node: None,
        service_account: "default".parse().expect("account"),
        addresses: vec![],
        host_network: false,
        labels: BTreeMap::new(),
        owner: None,
        containers: vec![],
        ready: true,
        ended: false,
    })
}

fn namespace(name: &str, label: &str) -> Object {
    let labels = BTreeMap::from([("l".to_owned(), label.to_owned())]);
    Object::Namespace(NamespaceInfo { name: name.parse().expect("ns"), labels })
}

fn node(name: &str, ready: bool) -> Object {
    Object::Node(Node {
        name: name.parse().expect("node"),
        architecture: "amd64".into(),
        addresses: vec![],
        ready,
        schedulable: true,
    })
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Object),
    Delete(Key),
}

fn step() -> impl Strategy<Value = Step> {
    let object = prop_oneof![
        ("[ab]", "[xyz]", "[0-9]{2}").prop_map(|(ns, name, uid)| pod(
            &ns,
            &name,
            &format!("{ns}{name}{uid}")
        )),
        ("[abc]", "[0-9]").prop_map(|(ns, label)| namespace(&ns, &label)),
        ("[mn]", any::<bool>()).prop_map(|(name, ready)| node(&name, ready)),
    ];
    (object, any::<bool>()).prop_map(|(object, keep)| match keep {
        true => Step::Apply(object),
        false => Step::Delete(object.key()),
    })
}

fn key(step: &Step) -> Key {
    match step {
        Step::Apply(object) => object.key(),
        Step::Delete(key) => key.clone(),
    }
}

fn fold(steps: impl IntoIterator<Item = Step>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for step in steps {
        match step {
            Step::Apply(object) => snapshot.apply(object),
            Step::Delete(key) => snapshot.delete(&key),
        }
    }
    snapshot
}

proptest! {
    /// Any interleaving that keeps the order per object ends in the same snapshot.
    #[test]
    fn order_between_objects_does_not_matter(steps in prop::collection::vec(step(), 0..40), seed in prop::collection::vec(any::<u8>(), 40)) {
        let mut queues: BTreeMap<Key, Vec<Step>> = BTreeMap::new();
        for step in &steps {
            queues.entry(key(step)).or_default().push(step.clone());
        }
        let mut shuffled = Vec::new();
        for pick in seed.iter().cycle() {
            queues.retain(|_, queue| !queue.is_empty());
            let at = usize::from(*pick) % queues.len().max(1);
            let Some(queue) = queues.values_mut().nth(at) else { break };
            shuffled.push(queue.remove(0));
        }
        prop_assert_eq!(fold(steps), fold(shuffled));
    }

    /// A reset is the same as deleting what is gone and applying what is there.
    #[test]
    fn reset_equals_the_last_list(steps in prop::collection::vec(step(), 0..40), list in prop::collection::vec(("[ab]", "[xyz]"), 0..6)) {
        let listed: Vec<Object> = list.iter().map(|(ns, name)| pod(ns, name, &format!("{ns}{name}"))).collect();
        let mut snapshot = fold(steps);
        snapshot.reset(Kind::Pod, listed.clone());
        let mut wanted: Vec<Key> = listed.iter().map(Object::key).collect();
        wanted.sort();
        wanted.dedup();
        prop_assert_eq!(snapshot.keys(Kind::Pod), wanted);
        for object in listed {
            let Object::Pod(pod) = object else { continue };
            prop_assert_eq!(snapshot.pod_by_uid(&pod.uid).map(|p| &p.name), Some(&pod.name));
        }
        prop_assert_eq!(snapshot.by_uid.len(), snapshot.pods().count());
    }
}

#[test]
fn a_recreated_pod_leaves_no_old_uid_behind() {
    let mut snapshot = Snapshot::default();
    snapshot.apply(pod("a", "x", "old"));
    snapshot.apply(pod("a", "x", "new"));
    assert!(snapshot.pod_by_uid(&"old".parse().expect("uid")).is_none());
    assert!(snapshot.pod_by_uid(&"new".parse().expect("uid")).is_some());
}

#[test]
fn a_static_pod_is_found_by_its_config_hash() {
    let mut snapshot = Snapshot::default();
    let Object::Pod(mut etcd) = pod("kube-system", "etcd-n1", "uid-of-mirror") else { unreachable!() };
    etcd.config_hash = Some("0123abcd".parse().expect("hash"));
    snapshot.apply(Object::Pod(etcd));
    let hash = "0123abcd".parse().expect("hash");
    assert_eq!(snapshot.pod_by_uid(&hash).map(|pod| pod.name.as_str()), Some("etcd-n1"));
}
