//! The kernel and what it was built with.

use std::fs;
use std::path::Path;

use aya::programs::{LsmAttachType, ProgramType};
use aya::sys::is_program_supported;

use super::{Fact, text};
use crate::btf::Btf;

/// Every kernel has this number for its first PID namespace (PROC_PID_INIT_INO).
const INITIAL_PID_NS: &str = "pid:[4026531836]";

pub(super) fn release(root: &Path) -> Fact {
    let name = "kernel";
    let Some(release) = text(&root.join("proc/sys/kernel/osrelease")) else {
        return Fact::missing(name, "unknown", "/proc cannot be read").fix("mount /proc");
    };
    match version(&release) {
        Some(version) if version < (5, 15) => {
            Fact::missing(name, release, "the sensor's programs need Linux 5.15 (helper bpf_task_pt_regs)")
                .fix("use a node with a newer kernel")
        }
        Some((6, 18)) => Fact::fine(name, release, "the sensor is tested on this version"),
        _ => Fact::limited(name, release, "the sensor's programs need 5.15 and are tested on 6.18 only")
            .fix("use a node with Linux 6.18, or try: what this kernel refuses is named"),
    }
}

/// Major and minor number of a release like `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn architecture(arch: &str, programs: bool) -> Fact {
    let name = "architecture";
    match programs {
        true => Fact::fine(name, arch, "this binary holds kernel programs for it"),
        false => {
            let sentence = format!(
                "this binary was built without kernel programs for {arch}: nothing is detected on this node; identities \
                 are served all the same"
            );
            Fact::missing(name, arch, sentence).fix(
                "on an x86_64 node take the released image, or run `cargo xtask ebpf` and build the binary again; other \
                 architectures wait for a version that has programs for them",
            )
        }
    }
}

pub(super) fn types(root: &Path) -> Fact {
    let name = "btf";
    let Ok(bytes) = fs::read(root.join("sys/kernel/btf/vmlinux")) else {
        return Fact::missing(name, "absent", "the kernel does not tell where its fields lie")
            .fix("use a kernel built with CONFIG_DEBUG_INFO_BTF");
    };
    match Btf::parse(&bytes).and_then(|btf| btf.offsets()) {
        Ok(_) => Fact::fine(name, "present", "every kernel field the programs read was found"),
        Err(error) => Fact::missing(name, "unusable", error.to_string()).fix("report this kernel's version"),
    }
}

pub(super) fn pid_namespace(root: &Path) -> Fact {
    let name = "pid-namespace";
    match fs::read_link(root.join("proc/self/ns/pid")) {
        Ok(link) if link.as_os_str() == INITIAL_PID_NS => {
            Fact::fine(name, "initial", "process ids are the kernel's own")
        }
        Ok(_) => Fact::limited(
            name,
            "nested",
            "processes outside of this PID namespace are left out and counted; ids are told as this namespace has them",
        )
        .fix("on an ordinary node run the agent with hostPID; on a node that is a container this is as it should be"),
        Err(_) => Fact::limited(name, "unknown", "the PID namespace cannot be told").fix("mount /proc"),
    }
}

pub(super) fn lsm(root: &Path) -> Fact {
    let name = "lsm";
    let tracepoints = "detection works by tracepoints, and nothing can be blocked before it happens";
    let Some(active) = text(&root.join("sys/kernel/security/lsm")) else {
        return Fact::limited(
            name,
            "unknown",
            format!("securityfs is not mounted, so active security modules are not told; {tracepoints}"),
        )
        .fix("mount -t securityfs securityfs /sys/kernel/security");
    };
    if !active.split(',').any(|module| module == "bpf") {
        return Fact::limited(
            name,
            "inactive",
            format!("`bpf` is not among the active security modules ({active}); {tracepoints}"),
        )
        .fix("boot with `lsm=...,bpf` on the kernel's command line");
    }
    if root != Path::new("/") {
        return Fact::limited(
            name,
            "active",
            format!(
                "`bpf` is an active security module; whether a program is accepted was not asked; {tracepoints}"
            ),
        );
    }
    match is_program_supported(ProgramType::Lsm(LsmAttachType::Mac)) {
        Ok(true) => Fact::limited(
            name,
            "possible",
            format!("the kernel would accept programs that block; this build has none yet, so {tracepoints}"),
        ),
        Ok(false) | Err(_) => {
            Fact::limited(name, "refused", format!("the kernel refuses such programs here; {tracepoints}"))
                .fix("run as root with CAP_BPF and CAP_SYS_ADMIN; some platforms refuse all the same")
        }
    }
}

pub(super) fn memlock(root: &Path) -> Fact {
    let name = "memlock";
    let limits = text(&root.join("proc/self/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let limit = line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown").to_owned();
    // Every kernel the sensor starts on is newer than 5.11, which counts maps by memory cgroup.
    Fact::fine(
        name,
        limit,
        "maps do not count against it since Linux 5.11; the agent's memory limit must allow for the rings",
    )
}

pub(super) fn io_uring(root: &Path) -> Fact {
    let name = "io_uring";
    let gap = "opens and connects through io_uring pass no syscall and are not seen by tracepoints";
    match text(&root.join("proc/sys/kernel/io_uring_disabled")).as_deref() {
        Some("2") => Fact::fine(name, "disabled", "no process can use it"),
        Some("1") => {
            Fact::limited(name, "restricted", format!("only privileged processes can use it; their {gap}"))
                .fix("sysctl kernel.io_uring_disabled=2")
        }
        _ => Fact::limited(name, "enabled", gap)
            .fix("sysctl kernel.io_uring_disabled=2 (Linux 6.6), or forbid it by seccomp"),
    }
}

pub(super) fn ia32(root: &Path) -> Fact {
    let name = "ia32";
    match root.join("proc/sys/abi/vsyscall32").exists() {
        false => Fact::fine(name, "off", "no 32-bit programs run here"),
        true => Fact::limited(
            name,
            "on",
            "32-bit programs run here; their executions, forks and exits are seen, their opens, connects, accepts and failed executions are not",
        )
        .fix("boot with `ia32_emulation=off` (Linux 6.7)"),
    }
}
