//! Opens.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use outis_model::event::{Open, What};
use outis_node::{Interest, Kind, Opens};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};

use crate::house::House;

/// The open with this text as its raw path.
async fn open(house: &mut House, raw: &str) -> Open {
    let event = house.until(|event| matches!(&event.what, What::Open(open) if open.raw == raw)).await;
    assert_eq!(event.task.pid, std::process::id());
    let What::Open(open) = event.what else { unreachable!("just matched") };
    *open
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_open_is_told_with_the_path_written_and_the_path_found() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("inner")).unwrap();
    fs::write(folder.path().join("target-1"), "x").unwrap();
    std::os::unix::fs::symlink("../target-1", folder.path().join("inner/link-1")).unwrap();
    let directory = File::open(folder.path().join("inner")).unwrap();
    let opened = openat(&directory, "./link-1", OFlags::RDONLY, Mode::empty()).unwrap();
    let told = open(&mut house, "./link-1").await;
    assert_eq!(told.path, folder.path().join("target-1").to_str().unwrap());
    assert_eq!((told.dirfd, told.result), (directory.as_raw_fd(), opened.as_raw_fd()));
    assert_eq!((told.syscall.as_str(), told.flags & 3), ("openat", 0));
    assert_eq!(told.cwd, std::env::current_dir().unwrap().to_str().unwrap());
}

#[tokio::test]
#[ignore = "needs root"]
async fn flags_and_mode_are_told_for_every_syscall() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let directory = File::open(folder.path()).unwrap();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    openat2(&directory, "made-2", flags, Mode::from_raw_mode(0o640), ResolveFlags::empty()).unwrap();
    let told = open(&mut house, "made-2").await;
    assert_eq!((told.syscall.as_str(), told.mode), ("openat2", 0o640));
    assert_eq!(told.flags & flags.bits(), flags.bits());
    assert_eq!(told.path, folder.path().join("made-2").to_str().unwrap());
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_failed_open_keeps_the_path_written() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let directory = File::open(folder.path()).unwrap();
    openat(&directory, "../none/../absent-3", OFlags::RDONLY, Mode::empty()).unwrap_err();
    let told = open(&mut house, "../none/../absent-3").await;
    assert_eq!(told.result, -2);
    assert_eq!(told.path, folder.path().parent().unwrap().join("absent-3").to_str().unwrap());
    File::open("absent-4/../../x").unwrap_err();
    let told = open(&mut house, "absent-4/../../x").await;
    let parent = std::env::current_dir().unwrap().parent().unwrap().join("x");
    assert_eq!(told.path, parent.to_str().unwrap());
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_listed_interest_lets_through_what_is_listed_and_counts_the_rest() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["deep/below", "else/plain", "else/key.pem", "else/written"] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), "x").unwrap();
    }
    let opens = Opens::Listed {
        writes: true,
        prefixes: vec![path("deep/").to_str().unwrap().to_owned()],
        suffixes: vec![".pem".into()],
    };
    house.sensor.set_interest(&Interest { kinds: vec![Kind::Open], opens }).unwrap();
    let before = house.sensor.counts().filtered;
    File::open(path("else/plain")).unwrap();
    File::open(path("deep/below")).unwrap();
    File::open(path("else/key.pem")).unwrap();
    File::open(path("deep/absent")).unwrap_err();
    File::options().write(true).open(path("else/written")).unwrap();
    for told in ["deep/below", "else/key.pem", "deep/absent", "else/written"] {
        open(&mut house, path(told).to_str().unwrap()).await;
    }
    let plain = path("else/plain").to_str().unwrap().to_owned();
    assert!(!house.told.iter().any(|(_, event)| {
        matches!(&event.what, What::Open(open) if open.raw == plain && open.flags & 3 == 0)
    }));
    assert!(house.sensor.counts().filtered > before);
    house.sensor.set_interest(&Interest::default()).unwrap();
    File::open(path("else/plain")).unwrap();
    house
        .until(|event| matches!(&event.what, What::Open(open) if open.raw == plain && open.flags & 3 == 0))
        .await;
}
