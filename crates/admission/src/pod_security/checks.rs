//! The nineteen checks, baseline first, each level in order of their ids.

mod allow_privilege_escalation;
mod app_armor_profile;
mod capabilities_baseline;
mod capabilities_restricted;
mod host_namespaces;
mod host_path_volumes;
mod host_ports;
mod host_probes_and_host_lifecycle;
mod privileged;
mod proc_mount;
mod proc_mount_restricted;
mod restricted_volumes;
mod run_as_non_root;
mod run_as_user;
mod se_linux_options;
mod seccomp_profile_baseline;
mod seccomp_profile_restricted;
mod sysctls;
mod windows_host_process;

use super::Check;

/// Every check there is.
pub(super) const ALL: &[&Check] = &[
    &app_armor_profile::CHECK,
    &capabilities_baseline::CHECK,
    &host_namespaces::CHECK,
    &host_path_volumes::CHECK,
    &host_ports::CHECK,
    &host_probes_and_host_lifecycle::CHECK,
    &privileged::CHECK,
    &proc_mount::CHECK,
    &se_linux_options::CHECK,
    &seccomp_profile_baseline::CHECK,
    &sysctls::CHECK,
    &windows_host_process::CHECK,
    &allow_privilege_escalation::CHECK,
    &capabilities_restricted::CHECK,
    &proc_mount_restricted::CHECK,
    &restricted_volumes::CHECK,
    &run_as_non_root::CHECK,
    &run_as_user::CHECK,
    &seccomp_profile_restricted::CHECK,
];

#[cfg(test)]
mod tests {
    use super::*;
    use outis_api::admission_policy::PodSecurityLevel::{Baseline, Restricted};

    #[test]
    fn there_are_twelve_baseline_and_seven_restricted_checks() {
        let count = |level| ALL.iter().filter(|check| check.level == level).count();
        assert_eq!((count(Baseline), count(Restricted)), (12, 7));
    }

    #[test]
    fn variants_are_in_order_and_what_is_replaced_exists() {
        for check in ALL {
            assert!(check.variants.is_sorted_by(|a, b| a.since < b.since), "{}", check.id);
            let replaced = check.replaces.map(|id| ALL.iter().find(|other| other.id == id));
            assert!(replaced.is_none_or(|other| other.is_some_and(|o| o.level == Baseline)), "{}", check.id);
        }
    }
}
