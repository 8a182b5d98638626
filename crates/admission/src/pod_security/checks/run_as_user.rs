//! `runAsUser` - restricted.
//!
//! Reads `securityContext.runAsUser` of the pod and of every container. Passes when none is 0. Since
//! v1.35 a pod with a user namespace of its own passes.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const FIELD: &str = "securityContext.runAsUser";
const FIX: &str = "remove it or choose a user other than 0";

pub(super) const CHECK: Check = Check {
    id: "runAsUser",
    level: PodSecurityLevel::Restricted,
    replaces: None,
    variants: &[Variant { since: Minor(23), judge }, Variant { since: Minor(35), judge: unless_own_users }],
};

fn unless_own_users(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.own_users() { Vec::new() } else { judge(pod) }
}

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let whole = pod.security().and_then(|s| s.run_as_user) == Some(0);
    let whole = whole.then(|| Failure::new(pod.place(FIELD), "the pod runs as root", FIX));
    let each = pod.containers().filter(|c| c.security.and_then(|s| s.run_as_user) == Some(0));
    let each =
        each.map(|c| Failure::new(c.place(pod, FIELD), format!("container {:?} runs as root", c.name), FIX));
    whole.into_iter().chain(each).collect()
}
