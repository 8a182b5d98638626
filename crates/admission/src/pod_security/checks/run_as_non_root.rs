//! `runAsNonRoot` - restricted.
//!
//! Reads `securityContext.runAsNonRoot` of the pod and of every container. Passes when the pod says
//! true and no container false, or every container says true. Since v1.35 a pod with a user namespace
//! of its own passes.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Container, Failure, Minor, Pod, Variant};

const FIELD: &str = "securityContext.runAsNonRoot";

pub(super) const CHECK: Check = Check {
    id: "runAsNonRoot",
    level: PodSecurityLevel::Restricted,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }, Variant { since: Minor(35), judge: unless_own_users }],
};

fn unless_own_users(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.own_users() { Vec::new() } else { judge(pod) }
}

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let said = |c: &Container<'_>| c.security.and_then(|s| s.run_as_non_root);
    let whole = pod.security().and_then(|s| s.run_as_non_root);
    let refused = (whole == Some(false))
        .then(|| Failure::new(pod.place(FIELD), "the pod may run as root", "set runAsNonRoot: true"));
    let of = |container: &Container<'_>| {
        Failure::new(
            container.place(pod, FIELD),
            format!("container {:?} may run as root", container.name),
            format!("set runAsNonRoot: true there or once for the pod in {}", pod.place(FIELD)),
        )
    };
    let explicit = pod.containers().filter(|c| said(c) == Some(false)).map(|c| of(&c));
    let explicit: Vec<_> = refused.into_iter().chain(explicit).collect();
    if !explicit.is_empty() || whole == Some(true) {
        return explicit;
    }
    pod.containers().filter(|c| said(c).is_none()).map(|c| of(&c)).collect()
}
