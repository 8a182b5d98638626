//! What this process may do to the kernel.

use std::path::Path;

use super::{Fact, text};

/// Numbers of capabilities, from `linux/capability.h`.
const SYS_ADMIN: u32 = 21;
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];

/// Effective capabilities; nothing where /proc does not tell them.
pub(super) struct Rights(Option<u64>);

pub(super) fn read(root: &Path) -> Rights {
    let status = text(&root.join("proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    Rights(line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()))
}

impl Rights {
    fn holds(&self, number: u32) -> Option<bool> {
        self.0.map(|bits| bits >> number & 1 == 1)
    }

    /// Whether file systems may be mounted.
    pub(super) fn mounting(&self) -> Option<bool> {
        self.holds(SYS_ADMIN)
    }

    /// Whether programs may be loaded and attached.
    pub(super) fn programs(&self, root: &Path) -> Fact {
        let name = "bpf";
        // Kernel memory is read by every program of ours.
        let lockdown = text(&root.join("sys/kernel/security/lockdown")).unwrap_or_default();
        if lockdown.contains("[confidentiality]") {
            return Fact::missing(
                name,
                "locked down",
                "the kernel is locked down and lets nobody read its memory",
            )
            .fix("boot with `lockdown=integrity`, or without it");
        }
        let all = self.holds(SYS_ADMIN) == Some(true);
        let lacking: Vec<&str> = NEEDED
            .iter()
            .filter(|(_, number)| !all && self.holds(*number) == Some(false))
            .map(|(capability, _)| *capability)
            .collect();
        match (self.0, lacking.as_slice()) {
            (None, _) => Fact::limited(name, "unknown", "/proc does not tell which capabilities we have")
                .fix("mount /proc"),
            (_, []) => Fact::fine(name, "allowed", "programs may be loaded and attached"),
            (_, lacking) => {
                let lacking = lacking.join(" and ");
                Fact::missing(name, "refused", format!("programs cannot be loaded without {lacking}")).fix(format!(
                    "run the agent as root with {lacking}, as `outis install` does; a security policy of the node may take \
                     them away"
                ))
            }
        }
    }
}
