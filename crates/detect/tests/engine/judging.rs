//! What the engine remembers between events, and that the same events give the same matches.

use outis_detect::{Partition, replay};
use outis_model::event::{Ancestor, Exec, Fork, What};

use crate::world::{RDONLY, World};
use crate::{compiled, rule, sources};

#[test]
fn later_events_know_what_the_process_was_told_to_do() {
    let text = rule(
        "evt.type = openat and proc.cmdline = \"cat -n\" and proc.pname = sh and proc.exepath = /usr/bin/cat",
    );
    let mut world = World::new(&sources(&[&text]));
    let cat = world.run("cat").args(&["-n"]).below(&["sh"]).go();
    assert_eq!(cat.open(&mut world, "/x", RDONLY), ["it"]);
}

#[test]
fn a_forked_child_is_known_by_its_parent_and_the_parent_by_its_command() {
    let text = rule("evt.type = execve and proc.pexe endswith java and proc.pcmdline contains kafka.Kafka");
    let mut world = World::new(&sources(&[&text]));
    let java = world.run("java").args(&["-cp", "x", "kafka.Kafka"]).go();
    let parent = Ancestor { pid: java.task.pid, start: java.task.start, comm: "java".into(), exe: None };
    let mut task = java.task.clone();
    (task.pid, task.ppid, task.start) = (900, java.task.pid, 5);
    let fork = Fork { ancestors: vec![parent.clone()], ..Fork::default() };
    world.step(&task, &java.place, What::Fork(Box::new(fork)));
    let exec = Exec {
        syscall: "execve".into(),
        args: vec!["sh".into()],
        ancestors: vec![parent],
        ..Exec::default()
    };
    assert_eq!(world.step(&task, &java.place, What::Exec(Box::new(exec))).len(), 1);
}

#[test]
fn processes_found_at_the_start_are_remembered_and_not_judged() {
    let mut world = World::new(&sources(&[&rule("proc.args = --serve")]));
    let mut run = world.run("server");
    run.exec.args.push("--serve".into());
    let (task, place, exec) = (run.task.clone(), run.place.clone(), run.exec.clone());
    assert!(world.step(&task, &place, What::Seen(Box::new(exec))).is_empty());
    let running = crate::world::Running { task, place, said: vec![] };
    assert_eq!(running.open(&mut world, "/x", RDONLY), ["it"]);
}

#[test]
fn a_process_nobody_told_of_is_judged_by_what_the_event_says_and_counted() {
    let mut world =
        World::new(&sources(&[&rule("evt.type = openat and proc.name = cat and not proc.args exists")]));
    let run = world.run("cat");
    let stranger = crate::world::Running { task: run.task.clone(), place: run.place.clone(), said: vec![] };
    assert_eq!(stranger.open(&mut world, "/x", RDONLY), ["it"]);
    assert_eq!((world.state.counters().strangers, world.state.counters().matches), (1, 1));
}

#[test]
fn a_recording_gives_what_the_events_gave_and_stops_at_a_bad_line() {
    let text = rule("evt.type in (execve, openat)");
    let mut world = World::new(&sources(&[&text]));
    let cat = world.run("cat").in_pod().go();
    let mut live = cat.said.clone();
    live.extend(cat.opens(&mut world, Default::default()));
    let mut lines: Vec<u8> = Vec::new();
    for event in &world.history {
        serde_json::to_writer(&mut lines, event).expect("JSON");
        lines.extend_from_slice(b"\n\n");
    }
    let rules = compiled(&[&text]);
    let again: Vec<_> =
        replay(&rules, Partition::default(), &lines[..]).map(|item| item.expect("an event").1).collect();
    assert_eq!((live.len(), again), (2, live));
    lines.extend_from_slice(b"{\"stamp\": \"now\"}\n");
    let last =
        replay(&rules, Partition::default(), &lines[..]).last().expect("a fault").expect_err("not an event");
    assert!(last.to_string().starts_with("line 5 of the recording is not an event"), "{last}");
    let long = vec![b' '; (1 << 20) + 2];
    let last =
        replay(&rules, Partition::default(), &long[..]).last().expect("a fault").expect_err("too long");
    assert!(last.to_string().contains("longer than"), "{last}");
}
