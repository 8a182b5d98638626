//! `capabilities_baseline` - baseline.
//!
//! Reads `securityContext.capabilities.add` of every container. Passes when it adds nothing beyond
//! what runtimes grant by default.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) const CHECK: Check = Check {
    id: "capabilities_baseline",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    added_beyond(pod, &DEFAULT, "remove it; only the runtime's default capabilities may be added")
}

/// Every added capability that is not among `allowed`.
pub(super) fn added_beyond(pod: &Pod<'_>, allowed: &[&str], fix: &str) -> Vec<Failure> {
    let mut failures = Vec::new();
    for container in pod.containers() {
        let added =
            container.security.and_then(|s| s.capabilities.as_ref()?.add.as_deref()).unwrap_or_default();
        for (index, capability) in added.iter().enumerate().filter(|(_, c)| !allowed.contains(&c.as_str())) {
            let place = container.place(pod, &format!("securityContext.capabilities.add[{index}]"));
            let text = format!("container {:?} adds the capability {capability:?}", container.name);
            failures.push(Failure::new(place, text, fix));
        }
    }
    failures
}
