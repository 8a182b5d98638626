//! The pods inside an object: a Pod itself, or the pod template of whatever makes pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use outis_model::review::GroupVersionKind;
use serde::Deserialize;
use serde_json::Value;

/// A pod, or a pod template, and where it stands in the object that was written.
#[derive(Debug)]
pub struct Pod<'a> {
    /// The typed specification.
    pub spec: core::PodSpec,
    /// The specification as written, for fields the types do not know.
    pub written: &'a Value,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    prefix: &'static str,
}

/// A pod that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// It has no specification.
    #[error("{0}spec is missing, so there is no pod to judge; give it a pod specification")]
    NoSpec(&'static str),
    /// A field has the wrong type.
    #[error("cannot read {place} as a pod: {cause}")]
    Shape {
        /// Which field.
        place: String,
        /// What does not fit.
        cause: serde_json::Error,
    },
}

/// What every kind of container has in common.
#[derive(Debug)]
pub struct Container<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its security context.
    pub security: Option<&'a core::SecurityContext>,
    /// Its ports.
    pub ports: &'a [core::ContainerPort],
    /// Liveness, readiness and startup probe with their field names.
    pub probes: [(&'static str, Option<&'a core::Probe>); 3],
    /// What runs after start and before stop.
    pub lifecycle: Option<&'a core::Lifecycle>,
    list: &'static str,
    index: usize,
}

impl Container<'_> {
    /// The path of `field` in the object that was written.
    #[must_use]
    pub fn place(&self, pod: &Pod<'_>, field: &str) -> String {
        pod.place(&format!("{}[{}].{field}", self.list, self.index))
    }
}

/// Where a kind keeps its pod template; empty for a Pod.
fn template(kind: &GroupVersionKind, object: &Value) -> Option<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => Some(""),
        ("", "PodTemplate") => Some("template."),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", "Job") => Some("spec.template."),
        ("batch", "CronJob") => Some("spec.jobTemplate.spec.template."),
        // Kinds of others that follow the custom: judged when it looks like a pod template.
        _ => object
            .pointer("/spec/template/spec/containers")
            .is_some_and(Value::is_array)
            .then_some("spec.template."),
    }
}

/// The pod in `object`; `None` when such objects hold none.
///
/// # Errors
/// When there must be a pod and it cannot be read: nobody can tell then what would run.
pub fn pods<'a>(kind: &GroupVersionKind, object: &'a Value) -> Result<Option<Pod<'a>>, PodError> {
    let Some(prefix) = template(kind, object) else { return Ok(None) };
    let path = prefix.split('.').filter(|part| !part.is_empty());
    let Some(holder) = path.clone().try_fold(object, |value, part| value.get(part)) else {
        // A ReplicationController may go without a template.
        return if kind.kind == "ReplicationController" { Ok(None) } else { Err(PodError::NoSpec(prefix)) };
    };
    let written = holder.get("spec").filter(|spec| spec.is_object()).ok_or(PodError::NoSpec(prefix))?;
    let spec = core::PodSpec::deserialize(written)
        .map_err(|cause| PodError::Shape { place: format!("{prefix}spec"), cause })?;
    let annotations = match holder.pointer("/metadata/annotations") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(map) => BTreeMap::deserialize(map)
            .map_err(|cause| PodError::Shape { place: format!("{prefix}metadata.annotations"), cause })?,
    };
    Ok(Some(Pod { spec, written, annotations, prefix }))
}

impl Pod<'_> {
    /// The path of a field of the specification in the object that was written.
    #[must_use]
    pub fn place(&self, field: &str) -> String {
        format!("{}spec.{field}", self.prefix)
    }

    /// The path of an annotation in the object that was written.
    #[must_use]
    pub fn annotation_place(&self, key: &str) -> String {
        format!("{}metadata.annotations[{key:?}]", self.prefix)
    }

    /// The security context of the pod as a whole.
    #[must_use]
    pub fn security(&self) -> Option<&core::PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    /// Whether the pod says that it runs on Windows.
    #[must_use]
    pub fn windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether the pod has a user namespace of its own, so that its root is nobody outside.
    #[must_use]
    pub fn own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    /// Every container: init, ordinary, ephemeral.
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        let init = self.spec.init_containers.iter().flatten().enumerate();
        let init = init.map(|(index, c)| ordinary("initContainers", index, c));
        let main = self.spec.containers.iter().enumerate();
        let main = main.map(|(index, c)| ordinary("containers", index, c));
        let late = self.spec.ephemeral_containers.iter().flatten().enumerate();
        let late = late.map(|(index, c)| Container {
            name: &c.name,
            security: c.security_context.as_ref(),
            ports: c.ports.as_deref().unwrap_or_default(),
            probes: probes(c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()),
            lifecycle: c.lifecycle.as_ref(),
            list: "ephemeralContainers",
            index,
        });
        init.chain(main).chain(late)
    }

    /// Whether two pods are the same to every check, as when only a label or the number of replicas
    /// changed.
    #[must_use]
    pub fn same(&self, other: &Pod<'_>) -> bool {
        self.written == other.written && self.annotations == other.annotations
    }
}

fn ordinary<'a>(list: &'static str, index: usize, c: &'a core::Container) -> Container<'a> {
    Container {
        name: &c.name,
        security: c.security_context.as_ref(),
        ports: c.ports.as_deref().unwrap_or_default(),
        probes: probes(c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()),
        lifecycle: c.lifecycle.as_ref(),
        list,
        index,
    }
}

type Probe<'a> = Option<&'a core::Probe>;

fn probes<'a>(live: Probe<'a>, ready: Probe<'a>, start: Probe<'a>) -> [(&'static str, Probe<'a>); 3] {
    [("livenessProbe", live), ("readinessProbe", ready), ("startupProbe", start)]
}
