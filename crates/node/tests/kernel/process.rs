//! Executions, forks, exits.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use outis_model::event::What;
use rustix::fs::MemfdFlags;

use crate::house::{Ended, House, config};

/// A column of /proc/<pid>/stat, numbered as in proc(5).
fn stat(pid: u32, column: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = text.rsplit_once(')').unwrap().1;
    behind_name.split_whitespace().nth(column - 3).unwrap().parse().unwrap()
}

fn link(pid: u32, name: &str) -> String {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap().to_string_lossy().into_owned()
}

/// Bytes that are texts with a NUL behind each.
fn texts(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Nanoseconds of a clock tick, as proc(5) counts.
const TICK: u64 = 10_000_000;

#[tokio::test]
#[ignore = "needs root"]
async fn an_execution_is_told_as_proc_tells_it() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let child = Ended::run("sleep", &["60", "0", "0.0"], folder.path());
    let pid = child.pid();
    let (event, exec) = house.exec(pid).await;
    assert_eq!(exec.args, texts(&fs::read(format!("/proc/{pid}/cmdline")).unwrap()));
    assert_eq!(exec.args, ["sleep", "60", "0", "0.0"]);
    assert!(!exec.cut && !exec.memfd && !exec.upper_layer);
    assert_eq!(exec.exe_path, link(pid, "exe"));
    assert_eq!(exec.cwd, link(pid, "cwd"));
    assert_eq!(event.task.comm, "sleep");
    assert_eq!((event.task.tid, event.task.vpid), (pid, pid));
    assert_eq!(u64::from(event.task.ppid), stat(pid, 4));
    assert_eq!(event.task.start / TICK, stat(pid, 22));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let column = |name: &str, at: usize| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(at).unwrap().to_owned()
    };
    assert_eq!(event.task.uid.to_string(), column("Uid:", 2));
    assert_eq!(event.task.gid.to_string(), column("Gid:", 2));
    assert_eq!(format!("{:016x}", event.task.cap_effective), column("CapEff:", 1));
    let loginuid = fs::read_to_string(format!("/proc/{pid}/loginuid")).unwrap_or("4294967295".into());
    assert_eq!(event.task.loginuid.to_string(), loginuid.trim());
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_file_is_told_by_its_times() {
    use std::os::unix::fs::MetadataExt;
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nap");
    fs::copy("/bin/sleep", &program).unwrap();
    let child = Ended::run(program.to_str().unwrap(), &["60"], folder.path());
    let (_, exec) = house.exec(child.pid()).await;
    let found = fs::metadata(&program).unwrap();
    let nanoseconds = |seconds: i64, rest: i64| (seconds * 1_000_000_000 + rest) as u64;
    assert_eq!(exec.exe_mtime, nanoseconds(found.mtime(), found.mtime_nsec()));
    assert_eq!(exec.exe_ctime, nanoseconds(found.ctime(), found.ctime_nsec()));
}

#[tokio::test]
#[ignore = "needs root"]
async fn ancestors_are_told_nearest_first() {
    let mut house = House::start();
    let child = Ended::run("sh", &["-c", "sleep 60; true"], Path::new("/"));
    let shell = child.pid();
    let event = house.until(|event| event.task.ppid == shell && matches!(event.what, What::Exec(_))).await;
    let What::Exec(exec) = event.what else { unreachable!("just matched") };
    let (mut pid, mut compared) = (shell, 0);
    for ancestor in &exec.ancestors {
        assert_eq!(ancestor.pid, pid);
        assert_eq!(ancestor.start / TICK, stat(pid, 22));
        assert_eq!(ancestor.comm, fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end());
        // Not every process lets its links be read, not even by root: a sandbox's own, far above us.
        if let Ok(exe) = fs::read_link(format!("/proc/{pid}/exe")) {
            let exe = exe.to_string_lossy().into_owned();
            let name = exe.trim_end_matches(" (deleted)").rsplit('/').next().unwrap().to_owned();
            assert_eq!(ancestor.exe.clone().unwrap(), name.chars().take(31).collect::<String>());
            compared += 1;
        }
        pid = stat(pid, 4) as u32;
    }
    assert!(pid == 0 || exec.ancestors.len() == 8, "stopped at {pid}");
    assert!(compared >= 2, "our shell and we ourselves can be compared");
    assert_eq!(exec.ancestors[1].pid, std::process::id());
}

#[tokio::test]
#[ignore = "needs root"]
async fn long_arguments_are_cut_and_say_so() {
    let mut house = House::start();
    let long = "x".repeat(9000);
    let child = Ended::run("sh", &["-c", "sleep 60; true", &long], Path::new("/"));
    let (_, exec) = house.exec(child.pid()).await;
    assert!(exec.cut);
    assert_eq!(exec.args[..3], ["sh", "-c", "sleep 60; true"]);
    assert_eq!(exec.args.iter().map(|arg| arg.len() + 1).sum::<usize>(), 4097);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_failed_execution_is_told_with_what_was_tried() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let tried = Command::new("./absent").args(["--one", "two"]).current_dir(folder.path()).spawn();
    assert!(tried.is_err());
    let event = house.until(|event| matches!(&event.what, What::Exec(exec) if exec.result < 0 && exec.args[..] == ["./absent", "--one", "two"])).await;
    let What::Exec(exec) = event.what else { unreachable!("just matched") };
    assert_eq!((exec.syscall.as_str(), exec.result), ("execve", -2));
    assert_eq!(exec.exe_path, folder.path().join("absent").to_str().unwrap());
    assert_eq!(exec.cwd, folder.path().to_str().unwrap());
    assert_eq!(exec.ancestors[0].pid, event.task.ppid);
}

#[tokio::test]
#[ignore = "needs root"]
async fn forks_are_told_in_the_childs_ring_and_exits_with_their_status() {
    let mut house = House::with(&outis_node::SensorConfig { rings: 3, ..config() });
    let child = Ended::run("sh", &["-c", "(exit 7) & sleep 60; true"], Path::new("/tmp"));
    let shell = child.pid();
    let (_, first) =
        house.find(|event| event.task.ppid == shell && matches!(event.what, What::Fork(_))).await;
    let What::Fork(fork) = &first.what else { unreachable!("just matched") };
    assert_eq!(fork.args, ["sh", "-c", "(exit 7) & sleep 60; true"]);
    assert_eq!((fork.cwd.as_str(), &fork.exe_path), ("/tmp", &link(shell, "exe")));
    assert_eq!(fork.ancestors[0].pid, shell);
    let exit = house
        .until(|event| event.task.pid == first.task.pid && matches!(event.what, What::Exit { .. }))
        .await;
    assert_eq!(exit.what, What::Exit { status: 7 << 8 });
    assert_eq!(exit.task.start, first.task.start);
    drop(child);
    let killed =
        house.until(|event| event.task.pid == shell && matches!(event.what, What::Exit { .. })).await;
    assert_eq!(killed.what, What::Exit { status: 9 });
    for (ring, event) in &house.told {
        assert_eq!(event.task.pid % 3, *ring, "{event:?}");
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_group_of_threads_ends_once() {
    let mut house = House::start();
    // This test's own threads are none of it: another copy of the harness lists its tests in threads.
    let child = Ended::run(std::env::current_exe().unwrap().to_str().unwrap(), &["--list"], Path::new("/"));
    let pid = child.pid();
    house.until(|event| event.task.pid == pid && matches!(event.what, What::Exit { .. })).await;
    let marker = Ended::run("true", &[], Path::new("/"));
    house.exec(marker.pid()).await;
    let exits = house
        .told
        .iter()
        .filter(|(_, event)| event.task.pid == pid && matches!(event.what, What::Exit { .. }));
    assert_eq!(exits.count(), 1);
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_execution_from_a_memfd_is_marked() {
    let mut house = House::start();
    let memory = rustix::fs::memfd_create("hidden", MemfdFlags::empty()).unwrap();
    let mut file = fs::File::from(memory);
    std::io::copy(&mut fs::File::open("/bin/sleep").unwrap(), &mut file).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    // Open for writing it would be busy.
    let readable = fs::File::open(&path).unwrap();
    drop(file);
    let path = format!("/proc/{}/fd/{}", std::process::id(), readable.as_raw_fd());
    let child = Ended::run(&path, &["60"], Path::new("/"));
    let (_, exec) = house.exec(child.pid()).await;
    assert!(exec.memfd);
    assert_eq!(exec.exe_path, "memfd:hidden");
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_execution_from_an_upper_layer_is_marked() {
    let mut house = House::start();
    let folder = tempfile::tempdir().unwrap();
    // The lower layer is the image; what is copied in later lies in the upper one.
    let script = "mkdir lower upper work merged disk && mount -t tmpfs tmpfs disk && mkdir disk/l disk/u disk/w \
        && cp /bin/sleep disk/l/shipped && mount -t overlay overlay -o lowerdir=disk/l,upperdir=disk/u,workdir=disk/w merged \
        && cp /bin/sleep merged/dropped && merged/shipped 0 && exec merged/dropped 0";
    let child = Ended::run("unshare", &["-m", "sh", "-c", script], folder.path());
    let by_name = |name: &'static str| {
        move |event: &outis_model::event::Event| {
            event.task.comm == name && matches!(&event.what, What::Exec(exec) if exec.result == 0)
        }
    };
    let dropped = house.until(by_name("dropped")).await;
    assert_eq!(dropped.task.pid, child.pid());
    let upper = |event: &outis_model::event::Event| match &event.what {
        What::Exec(exec) => (exec.upper_layer, exec.exe_path.clone()),
        other => panic!("{other:?}"),
    };
    let merged = folder.path().join("merged");
    assert_eq!(upper(&dropped), (true, merged.join("dropped").to_str().unwrap().to_owned()));
    let shipped = house.until(by_name("shipped")).await;
    assert_eq!(upper(&shipped), (false, merged.join("shipped").to_str().unwrap().to_owned()));
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_terminal_is_told_by_its_number() {
    let mut house = House::start();
    let _script = Ended::run("script", &["-qec", "sleep 60", "/dev/null"], Path::new("/"));
    let event = house
        .until(|event| {
            event.task.comm == "sleep" && matches!(event.what, What::Exec(_)) && event.task.tty != 0
        })
        .await;
    assert_eq!(u64::from(event.task.tty), stat(event.task.pid, 7));
    assert_eq!(event.task.tty >> 8, 136);
}

#[tokio::test]
#[ignore = "needs root"]
async fn in_a_namespace_of_its_own_a_process_has_two_numbers() {
    let mut house = House::start();
    let child = Ended::run("unshare", &["--pid", "--fork", "sleep", "60"], Path::new("/"));
    let parent = child.pid();
    let event = house.until(|event| event.task.ppid == parent && event.task.comm == "sleep").await;
    assert_eq!(event.task.vpid, 1);
    assert!(event.task.pid > 1);
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(event.task.pid as i32).unwrap(),
        rustix::process::Signal::KILL,
    );
}

#[tokio::test]
#[ignore = "needs root"]
async fn processes_that_ran_before_are_told_first() {
    let folder = tempfile::tempdir().unwrap();
    let child = Ended::run("sleep", &["60", "0"], folder.path());
    let pid = child.pid();
    while link(pid, "exe") == link(std::process::id(), "exe") {
        tokio::task::yield_now().await;
    }
    let mut house = House::start();
    let event = house.until(|event| event.task.pid == pid).await;
    let What::Seen(seen) = event.what else { panic!("{event:?}") };
    assert_eq!(seen.args, ["sleep", "60", "0"]);
    assert_eq!((seen.exe_path, seen.cwd), (link(pid, "exe"), link(pid, "cwd")));
    assert_eq!(event.task.start / TICK, stat(pid, 22));
    assert_eq!(seen.ancestors[0].pid, std::process::id());
    drop(child);
    let exit = house.until(|event| event.task.pid == pid && matches!(event.what, What::Exit { .. })).await;
    assert_eq!(exit.task.start, event.task.start, "the same process by pid and start");
}
