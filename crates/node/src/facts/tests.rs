use super::*;

/// A machine made of files.
fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn check(files: &[(&str, &str)], name: &str, expected: (Standing, &str)) -> Fact {
    let root = machine(files);
    let fact = facts(root.path()).get(name).cloned().unwrap();
    assert_eq!((fact.standing, fact.value.as_str()), expected, "{fact:?}");
    fact
}

const STATUS: &str = "proc/self/status";
/// Without any capability, and with those the agent is given.
const NOTHING: &str = "Name:\toutis\nCapEff:\t0000000000000000\n";
const ENOUGH: &str = "Name:\toutis\nCapEff:\t000000c000080004\n";

#[test]
fn hierarchies_are_told_apart() {
    let v1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
    let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
    let mounts = "proc/self/mounts";
    check(&[(mounts, v1)], "cgroup", (Standing::Fine, "v1"));
    check(&[(mounts, v2)], "cgroup", (Standing::Fine, "v2"));
    check(&[(mounts, &format!("{v1}{v2}"))], "cgroup", (Standing::Fine, "hybrid"));
    let none = check(&[], "cgroup", (Standing::Limited, "none"));
    assert_eq!(none.fix.as_deref(), Some("mount the node's /sys/fs/cgroup into the agent"));
}

#[test]
fn kernels_are_told_apart() {
    let release = "proc/sys/kernel/osrelease";
    check(&[(release, "5.10.0-32-amd64\n")], "kernel", (Standing::Missing, "5.10.0-32-amd64"));
    check(&[(release, "6.1.0-18-amd64\n")], "kernel", (Standing::Limited, "6.1.0-18-amd64"));
    check(&[(release, "6.18.44\n")], "kernel", (Standing::Fine, "6.18.44"));
}

#[test]
fn what_is_missing_says_what_to_do() {
    check(&[], "tracefs", (Standing::Limited, "not mounted"));
    check(&[(STATUS, NOTHING)], "tracefs", (Standing::Missing, "not mounted"));
    check(&[], "btf", (Standing::Missing, "absent"));
    let broken = check(&[("sys/kernel/btf/vmlinux", "no")], "btf", (Standing::Missing, "unusable"));
    assert!(broken.sentence.contains("type information is damaged"));
    check(&[("sys/kernel/security/lsm", "lockdown,capability")], "lsm", (Standing::Limited, "inactive"));
    check(&[("sys/kernel/security/lsm", "lockdown,bpf\n")], "lsm", (Standing::Limited, "active"));
    check(&[("proc/sys/kernel/io_uring_disabled", "2\n")], "io_uring", (Standing::Fine, "disabled"));
    check(&[("proc/sys/abi/vsyscall32", "1")], "ia32", (Standing::Limited, "on"));
}

#[test]
fn rights_are_told_by_their_names() {
    check(&[(STATUS, ENOUGH)], "bpf", (Standing::Fine, "allowed"));
    check(&[(STATUS, "CapEff:\t0000000000200000\n")], "bpf", (Standing::Fine, "allowed"));
    check(&[], "bpf", (Standing::Limited, "unknown"));
    let none = check(&[(STATUS, NOTHING)], "bpf", (Standing::Missing, "refused"));
    assert_eq!(none.sentence, "programs cannot be loaded without CAP_BPF and CAP_PERFMON");
    assert!(
        none.fix.is_some_and(|fix| fix.starts_with("run the agent as root with CAP_BPF and CAP_PERFMON"))
    );
    let one = check(&[(STATUS, "CapEff:\t0000008000000000\n")], "bpf", (Standing::Missing, "refused"));
    assert_eq!(one.sentence, "programs cannot be loaded without CAP_PERFMON");
    let locked = [(STATUS, ENOUGH), ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n")];
    check(&locked, "bpf", (Standing::Missing, "locked down"));
}

#[test]
fn a_node_without_programs_for_its_architecture_is_told_so() {
    let told = kernel::architecture("aarch64", false);
    assert_eq!((told.standing, told.value.as_str()), (Standing::Missing, "aarch64"));
    assert!(told.sentence.contains("identities are served all the same"), "{}", told.sentence);
    assert!(told.fix.is_some_and(|fix| fix.contains("x86_64")));
    assert_eq!(kernel::architecture("x86_64", true).standing, Standing::Fine);
}

#[test]
fn scripts_get_all_of_it() {
    let root = machine(&[]);
    let told = serde_json::to_value(facts(root.path())).unwrap();
    let names: Vec<&str> =
        told["facts"].as_array().unwrap().iter().filter_map(|fact| fact["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "kernel",
            "architecture",
            "btf",
            "bpf",
            "cgroup",
            "tracefs",
            "bpffs",
            "pid-namespace",
            "lsm",
            "memlock",
            "io_uring",
            "ia32"
        ]
    );
    assert_eq!(facts(root.path()).standing(), Standing::Missing);
}
