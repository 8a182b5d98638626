//! `allowPrivilegeEscalation` - restricted.
//!
//! Reads `securityContext.allowPrivilegeEscalation` of every container. Passes when it is false. Since
//! v1.25 pods for Windows, where the field does not exist, pass.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "allowPrivilegeEscalation",
    level: PodSecurityLevel::Restricted,
    replaces: None,
    variants: &[Variant { since: Minor(8), judge }, Variant { since: Minor(25), judge: unless_windows }],
};

fn unless_windows(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.windows() { Vec::new() } else { judge(pod) }
}

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    pod.containers()
        .filter(|c| c.security.and_then(|s| s.allow_privilege_escalation) != Some(false))
        .map(|c| {
            Failure::new(
                c.place(pod, "securityContext.allowPrivilegeEscalation"),
                format!("container {:?} may gain more privileges than its parent process", c.name),
                "set allowPrivilegeEscalation: false",
            )
        })
        .collect()
}
