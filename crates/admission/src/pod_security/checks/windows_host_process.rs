//! `windowsHostProcess` - baseline.
//!
//! Reads `securityContext.windowsOptions.hostProcess` of the pod and of every container. Passes when
//! it is absent or false.

use k8s_openapi::api::core::v1::WindowsSecurityContextOptions;
use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Failure, Minor, Pod, Variant};

const FIELD: &str = "securityContext.windowsOptions.hostProcess";

pub(super) const CHECK: Check = Check {
    id: "windowsHostProcess",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(0), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    let set = |options: &WindowsSecurityContextOptions| options.host_process == Some(true);
    let whole = pod.security().and_then(|s| s.windows_options.as_ref()).is_some_and(set);
    let whole = whole.then(|| pod.place(FIELD));
    let each =
        pod.containers().filter(|c| c.security.and_then(|s| s.windows_options.as_ref()).is_some_and(set));
    let each = each.map(|c| c.place(pod, FIELD));
    whole
        .into_iter()
        .chain(each)
        .map(|place| {
            Failure::new(place, "the process runs on the Windows node itself", "set hostProcess: false")
        })
        .collect()
}
