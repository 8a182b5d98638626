//! `appArmorProfile` - baseline.
//!
//! Reads `securityContext.appArmorProfile.type` of the pod and of every container, and the annotations
//! that came before it. Passes when it is absent, `RuntimeDefault` or `Localhost`.

use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const FIELD: &str = "securityContext.appArmorProfile.type";
const FIX: &str = "remove it, or use RuntimeDefault or a Localhost profile";

pub(super) const CHECK: Check = Check {
    id: "appArmorProfile",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let whole =
        pod.security().and_then(|s| s.app_armor_profile.as_ref()).map(|p| (pod.place(FIELD), &p.type_));
    let each = pod.containers().filter_map(|c| {
        let profile = c.security?.app_armor_profile.as_ref()?;
        Some((c.place(pod, FIELD), &profile.type_))
    });
    let fields = whole
        .into_iter()
        .chain(each)
        .filter(|(_, kind)| !matches!(kind.as_str(), "RuntimeDefault" | "Localhost"));
    let annotations =
        pod.annotations.iter().filter(|(key, value)| key.starts_with(PREFIX) && !allowed(value));
    let annotations = annotations.map(|(key, value)| (pod.annotation_place(key), value));
    fields
        .chain(annotations)
        .map(|(place, value)| {
            Failure::new(place, format!("the AppArmor profile {value:?} lifts the default confinement"), FIX)
        })
        .collect()
}

fn allowed(annotation: &str) -> bool {
    annotation.is_empty() || annotation == "runtime/default" || annotation.starts_with("localhost/")
}
