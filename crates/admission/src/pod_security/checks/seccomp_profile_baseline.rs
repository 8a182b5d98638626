//! `seccompProfile_baseline` - baseline.
//!
//! Before v1.19 reads the annotations of the pod and of every container, from then on
//! `securityContext.seccompProfile.type`. Passes when it is absent or names a profile.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const FIELD: &str = "securityContext.seccompProfile.type";

pub(super) const CHECK: Check = Check {
    id: "seccompProfile_baseline",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge: annotations }, Variant { since: Minor(19), judge: fields }],
};

fn annotations(pod: &Pod<'_>) -> Vec<Failure> {
    let each = pod.containers().map(|c| format!("{CONTAINER}{}", c.name));
    std::iter::once(POD.to_owned())
        .chain(each)
        .filter_map(|key| Some((pod.annotations.get(&key)?, key)))
        .filter(|(value, _)| !named(value))
        .map(|(value, key)| failure(pod.annotation_place(&key), value))
        .collect()
}

fn named(annotation: &str) -> bool {
    matches!(annotation, "runtime/default" | "docker/default") || annotation.starts_with("localhost/")
}

/// Every seccomp profile that is set and is none.
pub(super) fn fields(pod: &Pod<'_>) -> Vec<Failure> {
    let whole = pod.security().and_then(|s| s.seccomp_profile.as_ref()).map(|p| (pod.place(FIELD), &p.type_));
    let each = pod
        .containers()
        .filter_map(|c| Some((c.place(pod, FIELD), &c.security?.seccomp_profile.as_ref()?.type_)));
    let bad = whole.into_iter().chain(each).filter(|(_, kind)| !valid(kind));
    bad.map(|(place, kind)| failure(place, kind)).collect()
}

/// Whether a profile of this type filters system calls.
pub(super) fn valid(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

fn failure(place: String, kind: &str) -> Failure {
    Failure::new(
        place,
        format!("the seccomp profile {kind:?} filters no system call"),
        "use RuntimeDefault or a Localhost profile",
    )
}
