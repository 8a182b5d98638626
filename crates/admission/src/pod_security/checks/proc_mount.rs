//! `procMount` - baseline.
//!
//! Reads `securityContext.procMount` of every container. Passes when it is absent or `Default`. Since
//! v1.35 a pod with a user namespace of its own may unmask its /proc.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "procMount",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }, Variant { since: Minor(35), judge: unless_own_users }],
};

fn unless_own_users(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.own_users() { Vec::new() } else { judge(pod) }
}

/// Every container whose /proc is not masked as by default.
pub(super) fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    pod.containers()
        .filter(|c| c.security.and_then(|s| s.proc_mount.as_deref()).is_some_and(|kind| kind != "Default"))
        .map(|c| {
            Failure::new(
                c.place(pod, "securityContext.procMount"),
                format!("container {:?} sees parts of /proc that are masked by default", c.name),
                "remove procMount or set it to Default",
            )
        })
        .collect()
}
