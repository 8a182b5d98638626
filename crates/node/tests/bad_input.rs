//! Machines the sensor cannot run on: what it says, on a machine made of files.

use std::error::Error;
use std::fs;
use std::path::Path;

use outis_node::{Sensor, SensorConfig, SensorError};

/// Starts the sensor on a machine whose kernel shows these directories and files.
fn start(root: &Path) -> SensorError {
    let config = SensorConfig { root: root.into(), ..SensorConfig::default() };
    Sensor::start(&config).expect_err("nothing to run on")
}

#[test]
fn kernel_without_btf() {
    let root = tempfile::tempdir().expect("dir");
    fs::create_dir_all(root.path().join("sys/kernel/tracing/events")).expect("dir");
    let error = start(root.path());
    let SensorError::NoBtf { path, source } = &error else { panic!("{error}") };
    assert_eq!(path, &root.path().join("sys/kernel/btf/vmlinux"));
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    let told = error.to_string();
    assert!(told.starts_with("cannot read the kernel's type information at /"), "{told}");
    assert!(told.contains("use a kernel built with CONFIG_DEBUG_INFO_BTF"), "{told}");
}

#[test]
fn kernel_with_damaged_btf() {
    let root = tempfile::tempdir().expect("dir");
    fs::create_dir_all(root.path().join("sys/kernel/tracing/events")).expect("dir");
    fs::create_dir_all(root.path().join("sys/kernel/btf")).expect("dir");
    fs::write(root.path().join("sys/kernel/btf/vmlinux"), "no type information").expect("file");
    let error = start(root.path());
    let told = error.to_string();
    assert_eq!(told, "cannot use the kernel's type information; report this kernel's version (`uname -r`)");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(cause.starts_with("the kernel's type information is damaged: "), "{cause}");
}

#[test]
fn tracefs_missing() {
    let root = tempfile::tempdir().expect("dir");
    let error = start(root.path());
    assert!(matches!(error, SensorError::NoTracefs { .. }), "{error}");
    let told = error.to_string();
    for part in [
        &format!("tracefs is not mounted at {}", root.path().join("sys/kernel/tracing").display()),
        "syscall tracepoints cannot be attached",
        "on the node run `mount -t tracefs tracefs /sys/kernel/tracing`",
    ] {
        assert!(told.contains(part), "no word of {part:?}: {told}");
    }
    assert!(error.source().is_some(), "why it could not be mounted");
}
