//! `hostNamespaces` - baseline.
//!
//! Reads `hostNetwork`, `hostPID` and `hostIPC`. Passes when each is absent or false.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "hostNamespaces",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    [
        ("hostNetwork", pod.spec.host_network, "network"),
        ("hostPID", pod.spec.host_pid, "process"),
        ("hostIPC", pod.spec.host_ipc, "IPC"),
    ]
    .into_iter()
    .filter(|(_, shared, _)| *shared == Some(true))
    .map(|(field, _, namespace)| {
        let text = format!("the pod shares the node's {namespace} namespace");
        Failure::new(pod.place(field), text, format!("remove {field}"))
    })
    .collect()
}
