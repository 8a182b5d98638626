//! `hostPorts` - baseline.
//!
//! Reads `ports[*].hostPort` of every container. Passes when it is absent or 0.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "hostPorts",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for container in pod.containers() {
        for (index, port) in container.ports.iter().enumerate() {
            let Some(number) = port.host_port.filter(|number| *number != 0) else { continue };
            failures.push(Failure::new(
                container.place(pod, &format!("ports[{index}].hostPort")),
                format!("container {:?} takes port {number} of the node", container.name),
                "remove hostPort and reach the pod through a Service",
            ));
        }
    }
    failures
}
