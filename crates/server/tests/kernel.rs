//! What needs root: real mounts, in a mount namespace of their own.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use outis_server::csi::{VolumeError, Volumes};
use rustix::mount::{MountPropagationFlags, mount_change};

/// Runs in a child: threads of a test process may not leave its mount namespace alone.
fn in_own_namespace(test: &str, body: impl FnOnce(&Path)) {
    const INSIDE: &str = "OUTIS_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_none() {
        let mut child = std::process::Command::new("unshare");
        child.args(["--mount", "--propagation", "private", "--"]).arg(std::env::current_exe().expect("ours"));
        let inside = child
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .expect("util-linux");
        let said = String::from_utf8_lossy(&inside.stdout);
        assert!(inside.status.success(), "{said}{}", String::from_utf8_lossy(&inside.stderr));
        return;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("root");
    let dir = tempfile::tempdir().expect("dir");
    body(dir.path());
}

#[test]
#[ignore = "needs root"]
fn a_volume_is_put_restricted_and_taken_away() {
    in_own_namespace("a_volume_is_put_restricted_and_taken_away", |dir| {
        let (kubelet, api) = (dir.join("kubelet"), dir.join("api"));
        let target = kubelet.join("pods/u1/volumes/kubernetes.io~csi/v/mount");
        fs::create_dir_all(target.parent().expect("deep")).expect("dir");
        let volumes = Volumes::new(&kubelet, &api);
        let early = volumes.publish(&target).expect_err("no agent yet");
        assert!(matches!(early, VolumeError::Source(..)), "{early}");

        fs::create_dir_all(&api).expect("dir");
        volumes.publish(&target).expect("root");
        volumes.publish(&target).expect("again");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc");
        let lines: Vec<_> =
            mounts.lines().filter(|line| line.contains(&target.display().to_string())).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            let options = lines[0].split(' ').nth(5).expect("options");
            assert!(options.split(',').any(|option| option == flag), "{flag} in {options}");
        }
        fs::write(target.join("x"), "x").expect_err("read-only");

        // A socket made after the mount is seen, and can be spoken to through the read-only mount.
        let _listener = UnixListener::bind(api.join("api.sock")).expect("socket");
        UnixStream::connect(target.join("api.sock")).expect("through the mount");

        volumes.unpublish(&target).expect("mounted");
        assert!(!target.exists());
        volumes.unpublish(&target).expect("again");
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_in_the_way_stays() {
    in_own_namespace("what_is_in_the_way_stays", |dir| {
        let (kubelet, api) = (dir.join("kubelet"), dir.join("api"));
        let target = kubelet.join("pods/u1/volumes/kubernetes.io~csi/v/mount");
        fs::create_dir_all(&target).expect("dir");
        fs::create_dir_all(&api).expect("dir");
        fs::write(target.join("precious"), "data").expect("file");
        let volumes = Volumes::new(&kubelet, &api);
        for refused in [volumes.publish(&target), volumes.unpublish(&target)] {
            let refused = refused.expect_err("occupied");
            assert!(matches!(refused, VolumeError::Occupied(_)), "{refused}");
        }
        assert_eq!(fs::read_to_string(target.join("precious")).expect("still there"), "data");
    });
}
