//! `procMount_restricted` - restricted; takes the place of `procMount`.
//!
//! As `procMount` was before v1.35: a user namespace is no excuse.

use outis_api::admission_policy::PodSecurityLevel;

use super::proc_mount;
use crate::pod_security::{Check, Minor, Variant};

pub(super) const CHECK: Check = Check {
    id: "procMount_restricted",
    level: PodSecurityLevel::Restricted,
    replaces: Some("procMount"),
    variants: &[Variant { since: Minor(35), judge: proc_mount::judge }],
};
