//! `restrictedVolumes` - restricted; takes the place of `hostPathVolumes`.
//!
//! Reads the type of every volume, as written: a type nobody knew when this was built is not allowed
//! either. A volume without a type is an `emptyDir`.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) const CHECK: Check = Check {
    id: "restrictedVolumes",
    level: PodSecurityLevel::Restricted,
    replaces: Some("hostPathVolumes"),
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let volumes = pod.written.get("volumes").and_then(|v| v.as_array()).into_iter().flatten().enumerate();
    volumes
        .filter_map(|(index, volume)| {
            let volume = volume.as_object()?;
            let mut types = volume.iter().filter(|(key, value)| *key != "name" && !value.is_null());
            let (kind, _) = types.find(|(key, _)| !ALLOWED.contains(&key.as_str()))?;
            Some(Failure::new(
                pod.place(&format!("volumes[{index}].{kind}")),
                format!("volumes of type {kind} are not among those a restricted pod may use"),
                "use configMap, secret, projected, emptyDir or a persistentVolumeClaim",
            ))
        })
        .collect()
}
