//! `capabilities_restricted` - restricted; takes the place of `capabilities_baseline`.
//!
//! Reads `securityContext.capabilities` of every container. Passes when `drop` holds `ALL` and `add`
//! holds nothing but `NET_BIND_SERVICE`. Since v1.25 pods for Windows, where the field does not exist,
//! pass.

use outis_api::admission_policy::PodSecurityLevel;

use super::capabilities_baseline::added_beyond;
use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "capabilities_restricted",
    level: PodSecurityLevel::Restricted,
    replaces: Some("capabilities_baseline"),
    variants: &[Variant { since: Minor(22), judge }, Variant { since: Minor(25), judge: unless_windows }],
};

fn unless_windows(pod: &Pod<'_>) -> Vec<Failure> {
    if pod.windows() { Vec::new() } else { judge(pod) }
}

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let dropped = |security: &k8s_openapi::api::core::v1::SecurityContext| {
        let drop = security.capabilities.as_ref().and_then(|c| c.drop.as_deref()).unwrap_or_default();
        drop.iter().any(|capability| capability == "ALL")
    };
    let mut failures: Vec<_> = pod
        .containers()
        .filter(|c| !c.security.is_some_and(dropped))
        .map(|c| {
            Failure::new(
                c.place(pod, "securityContext.capabilities.drop"),
                format!("container {:?} keeps the runtime's default capabilities", c.name),
                "set drop: [\"ALL\"]",
            )
        })
        .collect();
    failures.extend(added_beyond(
        pod,
        &["NET_BIND_SERVICE"],
        "remove it; only NET_BIND_SERVICE may be added",
    ));
    failures
}
