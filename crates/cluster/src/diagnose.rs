//! Why a part is not there yet, in the words of whoever holds it up, and what to do. Pure, over what was read.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use crate::manifests::COMPONENT;

/// What was read of our namespace.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// Our Deployments.
    pub deployments: Vec<Deployment>,
    /// Our DaemonSets.
    pub daemon_sets: Vec<DaemonSet>,
    /// Our pods.
    pub pods: Vec<Pod>,
    /// Events of our namespace.
    pub events: Vec<Event>,
    /// Our claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// What running pods that are not ready say of themselves, by pod.
    pub said: BTreeMap<String, String>,
}

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    /// `controller`, `agent`, `webhook`.
    pub part: String,
    /// Pods that are ready and of the newest version.
    pub ready: i32,
    /// Pods there should be.
    pub wanted: i32,
    /// What holds it up, and what to do about it.
    pub stuck: Option<String>,
}

impl PartState {
    /// Whether it is all there.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.wanted > 0 && self.ready >= self.wanted
    }
}

/// Every part's state, in order of name.
#[must_use]
pub fn parts(scene: &Scene) -> Vec<PartState> {
    let mut found = Vec::new();
    for one in &scene.deployments {
        let wanted = one.spec.replicas.unwrap_or(1);
        let status = one.status.clone().unwrap_or_default();
        let current = status.observed_generation >= one.metadata.generation;
        let ready = status.updated_replicas.unwrap_or(0).min(status.available_replicas.unwrap_or(0));
        let old = status.replicas.unwrap_or(0) > status.updated_replicas.unwrap_or(0);
        let ready = if current && !old { ready } else { ready.min(wanted - 1) };
        let failure = status.conditions.iter().flatten().find(|condition| {
            condition.type_.as_deref() == Some("ReplicaFailure")
                && condition.status.as_deref() == Some("True")
        });
        let failure = failure.and_then(|condition| condition.message.clone());
        found.push(part(scene, one.labels().get(COMPONENT), ready, wanted, failure));
    }
    for one in &scene.daemon_sets {
        let status = one.status.clone().unwrap_or_default();
        let current = status.observed_generation >= one.metadata.generation;
        let ready =
            if current { status.number_ready.min(status.updated_number_scheduled.unwrap_or(0)) } else { 0 };
        let wanted = if current { status.desired_number_scheduled } else { 1 };
        found.push(part(
            scene,
            one.labels().get(COMPONENT),
            ready,
            wanted,
            failed_create(scene, &one.name_any()),
        ));
    }
    found.extend(taken_away(&found));
    found.sort_by(|a, b| a.part.cmp(&b.part));
    found
}

/// Every part there is, with the kind that runs it.
const PARTS: [(&str, &str); 3] =
    [("agent", "DaemonSet"), ("controller", "Deployment"), ("webhook", "Deployment")];

/// Parts that are gone while others are there: that is no smaller installation, it is a broken one.
fn taken_away(found: &[PartState]) -> Vec<PartState> {
    let gone =
        PARTS.iter().filter(|(part, _)| !found.is_empty() && found.iter().all(|state| state.part != *part));
    let state = |(part, kind): &(&str, &str)| PartState {
        part: (*part).to_owned(),
        ready: 0,
        wanted: 1,
        stuck: Some(format!("there is no {kind} outis-{part} any more; run `outis install`")),
    };
    gone.map(state).collect()
}

fn part(scene: &Scene, name: Option<&String>, ready: i32, wanted: i32, failure: Option<String>) -> PartState {
    let part = name.cloned().unwrap_or_default();
    let mut state = PartState { part, ready, wanted, stuck: None };
    if !state.whole() {
        let pods = scene.pods.iter().filter(|pod| pod.labels().get(COMPONENT) == Some(&state.part));
        let from_pods =
            pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()).find_map(|pod| stuck(scene, pod));
        state.stuck = failure.map(|text| refused(&text)).or(from_pods).or_else(|| {
            (wanted == 0).then(|| "no node can take it: no node is ready and matches its selector".to_owned())
        });
    }
    state
}

fn failed_create(scene: &Scene, name: &str) -> Option<String> {
    let of = scene.events.iter().filter(|event| {
        event.involved_object.name.as_deref() == Some(name) && event.reason.as_deref() == Some("FailedCreate")
    });
    of.filter_map(|event| event.message.clone()).next_back()
}

/// A pod that the API server did not take.
fn refused(text: &str) -> String {
    let fix = match text {
        text if text.contains("violates PodSecurity") => {
            "; label the namespace pod-security.kubernetes.io/enforce=privileged, or take the cluster-wide default back for it"
        }
        text if text.contains("exceeded quota") => "; raise the namespace's ResourceQuota",
        text if text.contains("no PriorityClass") => "; name one that exists with --priority-class",
        _ => "",
    };
    format!("its pods are refused: {text}{fix}")
}

fn stuck(scene: &Scene, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(not_scheduled(scene, condition.message.as_deref().unwrap_or("no reason given")));
    }
    let containers = status.container_statuses.iter().flatten();
    if let Some(text) = containers.clone().find_map(|status| waiting(pod, status)) {
        return Some(text);
    }
    if let Some(text) = mount_failure(scene, pod) {
        return Some(text);
    }
    let unready = containers.filter(|status| !status.ready).map(|status| status.name.as_str()).next()?;
    let said = scene.said.get(&pod.name_any()).map(|said| said.trim().replace('\n', "; "));
    said.filter(|said| !said.is_empty()).map(|said| format!("{unready} is running and not ready: {said}"))
}

fn not_scheduled(scene: &Scene, message: &str) -> String {
    let pending = scene
        .claims
        .iter()
        .find(|claim| claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending"));
    let about_volumes = message.contains("persistent volume") || message.contains("PersistentVolume");
    match pending {
        Some(claim) if about_volumes => format!(
            "no volume for the claim {}: {message}; free one, or install with --storage-class or --volume",
            claim.name_any()
        ),
        _ => format!("no schedulable node: {message}; see --node-selector and --toleration"),
    }
}

fn waiting(pod: &Pod, status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("its node");
    match waiting.reason.as_deref().unwrap_or_default() {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => Some(format!(
            "image missing: {} is not on {node} and cannot be pulled: {message}; load it with \
             `outis install --load kind:NAME|k3s|containerd:SOCKET`, or name one with --image",
            status.image
        )),
        "CrashLoopBackOff" => {
            let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let said = ended.and_then(|ended| ended.message.clone()).unwrap_or_default();
            let last =
                said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned();
            let code = ended.map_or(0, |ended| ended.exit_code);
            Some(format!("{} on {node} ends with {code} again and again: {last}", status.name))
        }
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            Some(format!("{} on {node}: {reason}: {message}", status.name))
        }
        _ => None,
    }
}

fn mount_failure(scene: &Scene, pod: &Pod) -> Option<String> {
    let creating = pod.status.as_ref()?.container_statuses.iter().flatten().any(|status| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("ContainerCreating")
    });
    let mut of_pod = scene.events.iter().filter(|event| {
        event.involved_object.uid == pod.metadata.uid
            && matches!(
                event.reason.as_deref(),
                Some("FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox")
            )
    });
    let message = of_pod.next_back().and_then(|event| event.message.clone())?;
    creating.then(|| format!("{} waits: {message}", pod.name_any()))
}

#[cfg(test)]
mod tests;
