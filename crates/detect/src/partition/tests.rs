use outis_model::Timestamp;
use outis_model::event::{Exec, Fork, Place, Task};

use super::*;

fn event(pid: u32, stamp: u64, what: What) -> Event {
    let task = Task { pid, tid: pid, start: 1, comm: "sh".into(), ..Task::default() };
    Event { stamp, time: Timestamp::UNIX_EPOCH, number: 0, task, place: Place::Host, what }
}

fn exec(args: &[&str]) -> What {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    What::Exec(Box::new(Exec { args, exe_path: "/bin/sh".into(), ..Exec::default() }))
}

fn known(partition: &Partition, pid: u32) -> bool {
    partition.table.get(Key { pid, start: 1 }).is_some()
}

#[test]
fn the_least_recently_heard_of_goes_first_and_is_counted() {
    let mut partition = Partition::new(Limits { processes: 3, ..Limits::default() });
    for pid in 1..=3 {
        partition.learn(&event(pid, 1, exec(&["sh"])));
    }
    partition.learn(&event(1, 2, What::Open(Box::default())));
    partition.learn(&event(4, 3, exec(&["sh"])));
    assert_eq!([1, 2, 3, 4].map(|pid| known(&partition, pid)), [true, false, true, true]);
    assert_eq!((partition.counters().evicted, partition.counters().processes), (1, 3));
}

#[test]
fn ended_processes_linger_and_are_the_first_to_go() {
    let mut partition = Partition::new(Limits { processes: 2, linger: 100, ..Limits::default() });
    partition.learn(&event(1, 1, exec(&["sh"])));
    partition.learn(&event(2, 1, exec(&["sh"])));
    partition.learn(&event(2, 2, What::Exit { status: 0 }));
    assert!(known(&partition, 2), "events of it may still arrive");
    partition.learn(&event(3, 3, exec(&["sh"])));
    assert_eq!([1, 2, 3].map(|pid| known(&partition, pid)), [true, false, true]);
    partition.learn(&event(3, 4, What::Exit { status: 0 }));
    partition.learn(&event(1, 200, What::Open(Box::default())));
    assert!(!known(&partition, 3));
    let Counters { evicted, forgotten, .. } = partition.counters();
    assert_eq!((evicted, forgotten), (0, 2));
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let limits = Limits { bytes: 8_000, ..Limits::default() };
    let mut partition = Partition::new(limits);
    for pid in 1..50 {
        partition.learn(&event(pid, u64::from(pid), exec(&["sh", &"x".repeat(900)])));
        assert!(partition.counters().bytes <= 8_000);
    }
    for pid in 1..50 {
        partition.learn(&event(pid, 60, What::Exit { status: 0 }));
    }
    partition.learn(&event(99, u64::MAX, What::Exit { status: 0 }));
    assert_eq!((partition.counters().bytes, partition.counters().processes), (0, 0));
}

#[test]
fn a_child_runs_what_its_parent_runs_and_remembers_it_after_exec() {
    let mut partition = Partition::default();
    partition.learn(&event(1, 1, exec(&["server", "--port", "80"])));
    let parent = Ancestor { pid: 1, start: 1, comm: "sh".into(), exe: None };
    let fork = Fork { args: vec!["cut".into()], ancestors: vec![parent.clone()], ..Fork::default() };
    partition.learn(&event(2, 2, What::Fork(Box::new(fork))));
    let image = |partition: &Partition| {
        let process = partition.table.get(Key { pid: 2, start: 1 }).expect("known").clone();
        (process.image.cmdline(false).to_owned(), process.parent.expect("told").cmdline(false).to_owned())
    };
    assert_eq!(image(&partition), ("sh --port 80".into(), "sh --port 80".into()));
    let child = Exec { args: vec!["id".into(), "-u".into()], ancestors: vec![parent], ..Exec::default() };
    partition.learn(&event(2, 3, What::Exec(Box::new(child))));
    assert_eq!(image(&partition), ("sh -u".into(), "sh --port 80".into()));
}

#[test]
fn strangers_and_failed_attempts_teach_nothing() {
    let mut partition = Partition::default();
    partition.learn(&event(1, 1, What::Open(Box::default())));
    let failed = Exec { result: -2, ..Exec::default() };
    partition.learn(&event(1, 2, What::Exec(Box::new(failed))));
    assert_eq!((partition.counters().strangers, partition.counters().processes), (2, 0));
}
