//! Names the kernel does not say: numbers of the tables below, and words for users and hosts that
//! somebody else looks up and hands in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outis_model::ContainerId;

/// What others know: users and groups from the node's and the containers' files, addresses of
/// Services. An input of the engine like an event; nothing is resolved here.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// The node's name, for `evt.hostname`.
    pub hostname: Option<String>,
    /// Users and groups of the node itself.
    pub node: Accounts,
    /// Users and groups of containers.
    pub containers: BTreeMap<ContainerId, Accounts>,
    /// Addresses by host name (`kubernetes.default.svc.cluster.local`), for `fd.sip.name`.
    pub hosts: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// Names of users and groups. The root user and group need none.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// By user id.
    pub users: BTreeMap<u32, String>,
    /// By group id.
    pub groups: BTreeMap<u32, String>,
}

impl Knowledge {
    fn accounts(&self, container: Option<&ContainerId>) -> Option<&Accounts> {
        match container {
            None => Some(&self.node),
            Some(container) => self.containers.get(container),
        }
    }

    pub(crate) fn user(&self, container: Option<&ContainerId>, uid: u32) -> Option<&str> {
        let known = self.accounts(container).and_then(|accounts| accounts.users.get(&uid));
        known.map(String::as_str).or((uid == 0).then_some("root"))
    }

    pub(crate) fn group(&self, container: Option<&ContainerId>, gid: u32) -> Option<&str> {
        let known = self.accounts(container).and_then(|accounts| accounts.groups.get(&gid));
        known.map(String::as_str).or((gid == 0).then_some("root"))
    }
}

/// `include/uapi/linux/capability.h`, by number.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `CAP_CHOWN CAP_KILL`.
pub(crate) fn capabilities(bits: u64) -> String {
    let held = CAPABILITIES.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    held.map(|(_, name)| format!("CAP_{name}")).collect::<Vec<_>>().join(" ")
}

/// `include/uapi/asm-generic/errno*.h`, from 1.
const ERRORS: &[&str] = &[
    "EPERM",
    "ENOENT",
    "ESRCH",
    "EINTR",
    "EIO",
    "ENXIO",
    "E2BIG",
    "ENOEXEC",
    "EBADF",
    "ECHILD",
    "EAGAIN",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "ENOTBLK",
    "EBUSY",
    "EEXIST",
    "EXDEV",
    "ENODEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENFILE",
    "EMFILE",
    "ENOTTY",
    "ETXTBSY",
    "EFBIG",
    "ENOSPC",
    "ESPIPE",
    "EROFS",
    "EMLINK",
    "EPIPE",
    "EDOM",
    "ERANGE",
    "EDEADLK",
    "ENAMETOOLONG",
    "ENOLCK",
    "ENOSYS",
    "ENOTEMPTY",
    "ELOOP",
];
/// The network's part of them, from 88.
const NETWORK_ERRORS: &[&str] = &[
    "ENOTSOCK",
    "EDESTADDRREQ",
    "EMSGSIZE",
    "EPROTOTYPE",
    "ENOPROTOOPT",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "EOPNOTSUPP",
    "EPFNOSUPPORT",
    "EAFNOSUPPORT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "ENETDOWN",
    "ENETUNREACH",
    "ENETRESET",
    "ECONNABORTED",
    "ECONNRESET",
    "ENOBUFS",
    "EISCONN",
    "ENOTCONN",
    "ESHUTDOWN",
    "ETOOMANYREFS",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EALREADY",
    "EINPROGRESS",
    "ESTALE",
];

/// `SUCCESS`, or the name of a negated errno.
pub(crate) fn result(result: i64) -> Cow<'static, str> {
    if result >= 0 {
        return Cow::Borrowed("SUCCESS");
    }
    let errno = usize::try_from(-result).unwrap_or(usize::MAX);
    let low = ERRORS.get(errno - 1);
    let name = low.or_else(|| errno.checked_sub(88).and_then(|index| NETWORK_ERRORS.get(index)));
    match (name, errno) {
        (Some(name), _) => Cow::Borrowed(name),
        (None, 75) => Cow::Borrowed("EOVERFLOW"),
        (None, errno) => Cow::Owned(format!("E{errno}")),
    }
}

/// Bits of open flags (x86-64 and generic values) and their names.
const OPEN_FLAGS: &[(u32, &str)] = &[
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o10000, "O_DSYNC"),
    (0o40000, "O_DIRECT"),
    (0o100_000, "O_LARGEFILE"),
    (O_DIRECTORY, "O_DIRECTORY"),
    (0o2_000_000, "O_CLOEXEC"),
    (0o10_000_000, "O_PATH"),
    (0o20_000_000, "O_TMPFILE"),
];
/// Fails unless the path is a directory.
pub(crate) const O_DIRECTORY: u32 = 0o200_000;
/// Creates the file.
pub(crate) const O_CREAT: u32 = 0o100;
/// What `creat` means.
pub(crate) const CREAT_FLAGS: u32 = 0o1101;

/// Whether flags open for reading, for writing.
pub(crate) fn access(flags: u32) -> (bool, bool) {
    match flags & 3 {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    }
}

/// `O_TRUNC|O_CREAT|O_WRONLY`.
pub(crate) fn open_flags(flags: u32) -> String {
    let mut names: Vec<_> =
        OPEN_FLAGS.iter().rev().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    names.push(match access(flags) {
        (true, true) => "O_RDWR",
        (true, false) => "O_RDONLY",
        _ => "O_WRONLY",
    });
    names.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        assert_eq!(capabilities(1 << 21 | 2), "CAP_DAC_OVERRIDE CAP_SYS_ADMIN");
        assert_eq!(capabilities(1 << 40), "CAP_CHECKPOINT_RESTORE");
        let names = [0, 3, -2, -13, -40, -88, -111, -115, -75, -500].map(result);
        let expected = [
            "SUCCESS",
            "SUCCESS",
            "ENOENT",
            "EACCES",
            "ELOOP",
            "ENOTSOCK",
            "ECONNREFUSED",
            "EINPROGRESS",
            "EOVERFLOW",
            "E500",
        ];
        assert_eq!(names, expected);
        assert_eq!(open_flags(0o1101), "O_TRUNC|O_CREAT|O_WRONLY");
        assert_eq!(open_flags(O_DIRECTORY | 0o2_000_000), "O_CLOEXEC|O_DIRECTORY|O_RDONLY");
        assert_eq!(access(2), (true, true));
    }

    #[test]
    fn root_needs_no_lookup_and_others_do() {
        let mut known = Knowledge::default();
        known.node.users.insert(33, "www-data".into());
        let container: ContainerId = "abc".parse().expect("hex");
        assert_eq!(known.user(None, 33), Some("www-data"));
        assert_eq!(known.user(Some(&container), 33), None);
        assert_eq!(known.user(Some(&container), 0), Some("root"));
    }
}
