//! What a snapshot says about an anchor.

use std::sync::Arc;

use outis_model::event::{Place, PodRef, Workload};
use outis_model::name::{ContainerId, NodeName, PodUid};
use outis_model::snapshot::{Container, Pod, Snapshot};

use crate::cgroup::Anchor;

/// An answer, or what to say when no better one comes in time.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Now(Place),
    Later { otherwise: Place },
}

pub(super) fn answer(snapshot: &Snapshot, anchor: &Anchor) -> Answer {
    let Anchor { pod: uid, container } = anchor;
    let Some(uid) = uid else {
        return match container {
            Some(id) => Answer::Now(place(id, None, None)),
            None => Answer::Now(Place::Host),
        };
    };
    let Some(pod) = snapshot.pod_by_uid(uid) else {
        return Answer::Later { otherwise: Place::Unknown(unknown_pod(uid)) };
    };
    let Some(reference) = reference(pod) else {
        let reason =
            format!("pod {}/{} has no node yet in what the API server told", pod.namespace, pod.name);
        return Answer::Later { otherwise: Place::Unknown(reason) };
    };
    let Some(id) = container else {
        let reason = format!(
            "it runs in the cgroup of pod {}/{} but in none of its containers",
            pod.namespace, pod.name
        );
        return Answer::Now(Place::Unknown(reason));
    };
    match of(pod, id) {
        Some(found) => Answer::Now(place(id, Some(reference), Some(found))),
        // A container the API does not know yet, or the sandbox, which it never will.
        None => Answer::Later { otherwise: place(id, Some(reference), None) },
    }
}

fn unknown_pod(uid: &PodUid) -> String {
    format!("the API server told of no pod with the UID {uid} in time")
}

fn reference(pod: &Pod) -> Option<PodRef> {
    let node: NodeName = pod.node.clone()?;
    Some(PodRef {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        service_account: pod.service_account.clone(),
        node,
    })
}

/// The container with this id, or the only one it can be.
fn of<'a>(pod: &'a Pod, id: &ContainerId) -> Option<&'a Container> {
    if let Some(found) = pod.containers.iter().find(|container| container.id.as_ref() == Some(id)) {
        return Some(found);
    }
    match &pod.containers[..] {
        [only] if only.id.is_none() => Some(only),
        _ => None,
    }
}

fn place(id: &ContainerId, pod: Option<PodRef>, container: Option<&Container>) -> Place {
    let image = container.map(|container| image(&container.image));
    Place::Container(Arc::new(Workload {
        container: id.clone(),
        container_name: container.map(|container| container.name.clone()),
        image_repository: image.as_ref().map(|(repository, _)| repository.clone()),
        image_tag: image.and_then(|(_, tag)| tag),
        privileged: container.is_some_and(|container| container.privileged),
        pod,
        start: 0,
    }))
}

/// An image's repository and tag; a digest is left out, and a registry's port is no tag.
fn image(written: &str) -> (String, Option<String>) {
    let named = written.split_once('@').map_or(written, |(name, _)| name);
    match named.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), Some(tag.to_owned())),
        _ => (named.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_apart() {
        let check = |written: &str, repository: &str, tag: Option<&str>| {
            assert_eq!(image(written), (repository.to_owned(), tag.map(str::to_owned)), "{written}");
        };
        check("nginx", "nginx", None);
        check("nginx:1.27", "nginx", Some("1.27"));
        check("registry:5000/shop/web", "registry:5000/shop/web", None);
        check("registry:5000/shop/web:v2@sha256:00ff", "registry:5000/shop/web", Some("v2"));
    }
}
