use serde_json::{Value, json};

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn deployment(status: Value) -> Deployment {
    read(
        json!({"metadata": {"name": "outis-controller", "generation": 2, "labels": {COMPONENT: "controller"}},
        "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status}),
    )
}

fn pod(status: Value) -> Pod {
    read(json!({"metadata": {"name": "outis-controller-x", "uid": "u", "labels": {COMPONENT: "controller"}},
        "spec": {"nodeName": "node1", "containers": [{"name": "controller", "image": "i"}]}, "status": status}))
}

fn container(state: Value, last: Value) -> Value {
    json!({"containerStatuses": [{"name": "controller", "image": "localhost/outis/outis:1", "imageID": "", "ready": false,
        "restartCount": 0, "state": state, "lastState": last}]})
}

fn stuck_with(pod_status: Value, more: impl FnOnce(&mut Scene)) -> String {
    let mut scene = Scene {
        deployments: vec![deployment(json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}))],
        pods: vec![pod(pod_status)],
        ..Scene::default()
    };
    more(&mut scene);
    controller(&scene).stuck.unwrap_or_default()
}

fn controller(scene: &Scene) -> PartState {
    parts(scene).into_iter().find(|state| state.part == "controller").expect("it is told")
}

#[test]
fn a_part_that_was_taken_away_is_told_and_an_empty_namespace_has_none() {
    let scene = Scene { deployments: vec![deployment(json!({}))], ..Scene::default() };
    let told: Vec<_> =
        parts(&scene).into_iter().map(|state| (state.part, state.stuck.unwrap_or_default())).collect();
    assert_eq!(
        told[0],
        ("agent".into(), "there is no DaemonSet outis-agent any more; run `outis install`".into())
    );
    assert_eq!(told[2].0, "webhook");
    assert!(parts(&Scene::default()).is_empty());
}

#[test]
fn a_part_is_whole_when_the_newest_version_is() {
    let whole = |status: Value| {
        controller(&Scene { deployments: vec![deployment(status)], ..Scene::default() }).whole()
    };
    assert!(whole(
        json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
    ));
    assert!(
        !whole(json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})),
        "not seen yet"
    );
    assert!(
        !whole(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2})),
        "an old one is left"
    );
}

#[test]
fn a_missing_image_is_told_with_the_way_to_load_it() {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "connection refused"}});
    let told = stuck_with(container(waiting, json!({})), |_| {});
    assert!(told.starts_with("image missing: localhost/outis/outis:1 is not on node1"), "{told}");
    assert!(told.contains("--load"), "{told}");
}

#[test]
fn a_volume_that_is_not_there_is_told_apart_from_a_node_that_is_not() {
    let unscheduled = |message: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]});
    let no_volume = "0/1 nodes are available: didn't find available persistent volumes to bind";
    let told = stuck_with(unscheduled(no_volume), |scene| {
        scene.claims =
            vec![read(json!({"metadata": {"name": "outis-store"}, "status": {"phase": "Pending"}}))];
    });
    assert!(told.starts_with("no volume for the claim outis-store"), "{told}");
    let told = stuck_with(unscheduled("0/1 nodes are available: 1 had untolerated taint"), |_| {});
    assert!(told.starts_with("no schedulable node: 0/1 nodes"), "{told}");
}

#[test]
fn pod_security_is_told_with_the_label_that_helps() {
    let told = stuck_with(json!({}), |scene| {
        scene.deployments = vec![deployment(json!({"observedGeneration": 2, "conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: violates PodSecurity \"baseline\""}]}))];
    });
    assert!(told.contains("violates PodSecurity") && told.contains("enforce=privileged"), "{told}");
}

#[test]
fn a_crash_is_told_with_its_last_words() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let last =
        json!({"terminated": {"exitCode": 64, "message": "one\nerror: the configuration cannot be used\n"}});
    let told = stuck_with(container(waiting, last), |_| {});
    assert_eq!(
        told,
        "controller on node1 ends with 64 again and again: error: the configuration cannot be used"
    );
}

#[test]
fn what_a_running_pod_says_of_itself_is_passed_on() {
    let told = stuck_with(container(json!({"running": {}}), json!({})), |scene| {
        scene.said.insert("outis-controller-x".into(), "store: damaged\n".into());
    });
    assert_eq!(told, "controller is running and not ready: store: damaged");
}

#[test]
fn a_mount_that_fails_is_told_while_it_holds_up() {
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let told = stuck_with(container(creating, json!({})), |scene| {
        scene.events =
            vec![read(json!({"metadata": {"name": "e", "namespace": "n"}, "reason": "FailedMount",
            "involvedObject": {"uid": "u"}, "message": "secret \"outis-webhook-serving\" not found"}))];
    });
    assert!(told.contains("secret \"outis-webhook-serving\" not found"), "{told}");
}
