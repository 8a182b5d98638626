//! `seccompProfile_restricted` - restricted; takes the place of `seccompProfile_baseline`.
//!
//! Reads `securityContext.seccompProfile.type` of the pod and of every container. Passes when the pod
//! names a profile and no container lifts it, or every container names one. Since v1.25 pods for
//! Windows, where there is no seccomp, pass.

use outis_api::admission_policy::PodSecurityLevel;

use super::seccomp_profile_baseline::{FIELD, fields, valid};
use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "seccompProfile_restricted",
    level: PodSecurityLevel::Restricted,
    replaces: Some("seccompProfile_baseline"),
    variants: &[Variant { since: Minor(19), judge }, Variant { since: Minor(25), judge: unless_windows }],
};

fn unless_windows(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.windows() { Vec::new() } else { judge(pod) }
}

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let lifted = fields(pod);
    let whole = pod.security().and_then(|s| s.seccomp_profile.as_ref()).is_some_and(|p| valid(&p.type_));
    if whole || !lifted.is_empty() {
        return lifted;
    }
    pod.containers()
        .filter(|c| c.security.and_then(|s| s.seccomp_profile.as_ref()).is_none())
        .map(|c| {
            Failure::new(
                c.place(pod, FIELD),
                format!("container {:?} may make any system call", c.name),
                format!("set type: RuntimeDefault there or once for the pod in {}", pod.place(FIELD)),
            )
        })
        .collect()
}
