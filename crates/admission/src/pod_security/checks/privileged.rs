//! `privileged` - baseline.
//!
//! Reads `securityContext.privileged` of every container. Passes when it is absent or false.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "privileged",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    pod.containers()
        .filter(|c| c.security.and_then(|s| s.privileged) == Some(true))
        .map(|c| {
            Failure::new(
                c.place(pod, "securityContext.privileged"),
                format!("container {:?} is root on the node in all but name", c.name),
                "set privileged: false and add the one capability it needs",
            )
        })
        .collect()
}
