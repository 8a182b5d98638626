//! `seLinuxOptions` - baseline.
//!
//! Reads `securityContext.seLinuxOptions` of the pod and of every container. Passes when the type is
//! one for containers and neither user nor role is set. v1.31 allows one type more.

use k8s_openapi::api::core::v1::SELinuxOptions;
use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

/// The last one came with v1.31.
const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub(super) const CHECK: Check = Check {
    id: "seLinuxOptions",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[
        Variant { since: Minor(0), judge: |pod| judge(pod, &TYPES[..4]) },
        Variant { since: Minor(31), judge: |pod| judge(pod, &TYPES) },
    ],
};

fn judge(pod: &Pod<'_>, types: &[&str]) -> Vec<Failure> {
    let field = "securityContext.seLinuxOptions";
    let whole =
        pod.security().and_then(|s| s.se_linux_options.as_ref()).map(|options| (pod.place(field), options));
    let each =
        pod.containers().filter_map(|c| Some((c.place(pod, field), c.security?.se_linux_options.as_ref()?)));
    whole.into_iter().chain(each).flat_map(|(place, options)| faults(&place, options, types)).collect()
}

fn faults(place: &str, options: &SELinuxOptions, types: &[&str]) -> Vec<Failure> {
    let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let kind = options.type_.clone().filter(|kind| !types.contains(&kind.as_str()));
    let allowed = types.iter().filter(|kind| !kind.is_empty()).copied().collect::<Vec<_>>().join(", ");
    [
        ("type", kind, format!("remove it or use one of {allowed}")),
        ("user", set(&options.user), "remove it".to_owned()),
        ("role", set(&options.role), "remove it".to_owned()),
    ]
    .into_iter()
    .filter_map(|(field, value, fix)| {
        let text = format!("the SELinux {field} {:?} may lift the confinement of containers", value?);
        Some(Failure::new(format!("{place}.{field}"), text, fix))
    })
    .collect()
}
