//! `sysctls` - baseline.
//!
//! Reads `securityContext.sysctls[*].name`. Passes when each is known to touch nothing but the pod.
//! The list grew with v1.27, v1.29, v1.32 and v1.37.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

/// Oldest first; how many hold from which version on stands at the variants.
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_slow_start_after_idle",
];

pub(super) const CHECK: Check = Check {
    id: "sysctls",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[
        Variant { since: Minor(0), judge: |pod| judge(pod, 5) },
        Variant { since: Minor(27), judge: |pod| judge(pod, 6) },
        Variant { since: Minor(29), judge: |pod| judge(pod, 10) },
        Variant { since: Minor(32), judge: |pod| judge(pod, 12) },
        Variant { since: Minor(37), judge: |pod| judge(pod, 14) },
    ],
};

fn judge(pod: &Pod<'_>, known: usize) -> Vec<Failure> {
    let sysctls = pod.security().and_then(|s| s.sysctls.as_deref()).unwrap_or_default().iter().enumerate();
    sysctls
        .filter(|(_, sysctl)| !SAFE[..known].contains(&sysctl.name.as_str()))
        .map(|(index, sysctl)| {
            Failure::new(
                pod.place(&format!("securityContext.sysctls[{index}].name")),
                format!("the sysctl {:?} may reach beyond the pod", sysctl.name),
                "remove it",
            )
        })
        .collect()
}
