//! `hostPathVolumes` - baseline.
//!
//! Reads `volumes[*].hostPath`. Passes when there is none.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "hostPathVolumes",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let volumes = pod.spec.volumes.iter().flatten().enumerate();
    volumes
        .filter_map(|(index, volume)| {
            let path = &volume.host_path.as_ref()?.path;
            Some(Failure::new(
                pod.place(&format!("volumes[{index}].hostPath")),
                format!("volume {:?} mounts {path:?} of the node", volume.name),
                "use a volume that is not part of the node's file system",
            ))
        })
        .collect()
}
