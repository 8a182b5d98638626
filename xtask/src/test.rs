//! All tests, and one number at the end.

pub(crate) mod e2e;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::ledger::Ledger;
use crate::places::{conformance, root};
use crate::tool::Tool;
use crate::{cluster, codegen, dependencies, ebpf, setup, tidy};

/// Kinds of tests, weakest need first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Lints, pages, generated files, `cargo test`.
    Unit,
    /// Real kernel programs and mounts; needs root.
    Kernel,
    /// A real API server.
    Cluster,
    /// The console in a real browser.
    Browser,
    /// User stories on a real cluster with pods.
    E2e,
}

/// What was counted.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: BTreeSet<String>,
    /// What failed, to be said again at the end: the place where it was said is far up by then.
    failures: Vec<String>,
    /// What each streamed line begins with.
    prefix: String,
}

/// Runs the kinds given, or all; prints `N passed, N failed` last.
pub(crate) fn run(kinds: &[Kind], kubeconfig: Option<&Path>) -> ExitCode {
    let all = [Kind::Unit, Kind::Kernel, Kind::Cluster, Kind::Browser, Kind::E2e];
    let kinds = if kinds.is_empty() { &all[..] } else { kinds };
    let mut tally = Tally::default();
    let mut ledger = Ledger::default();
    if let Err(error) = ledger.step("setup", || setup::run(setup::Scope::All, true)) {
        println!("setup failed, going on with what is there: {error:#}");
        tally.fail(&format!("setup: {error:#}"));
    }
    for kind in all.iter().filter(|kind| kinds.contains(kind)) {
        let done = match kind {
            Kind::Unit => unit(&mut tally, &mut ledger),
            Kind::Kernel => ledger.step("kernel", || kernel(&mut tally)),
            Kind::Cluster => ledger.step("cluster", || with_control_plane(&mut tally)),
            Kind::Browser => {
                tally.skip("browser: there is no console yet");
                Ok(())
            }
            Kind::E2e => ledger.step("e2e", || e2e::run(&mut tally, kubeconfig)),
        };
        if let Err(error) = done {
            println!("FAILED: {error:#}");
            tally.fail(&format!("{error:#}"));
        }
    }
    ledger.print();
    for line in &tally.skipped {
        println!("{line}");
    }
    for line in &tally.failures {
        println!("FAILED {line}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Tally {
    /// Something that was not looked at, and why.
    fn skip(&mut self, what: &str) {
        self.skipped.insert(format!("SKIPPED {what}"));
    }

    /// A check that counts as one test.
    fn check(&mut self, name: &str, done: Result<()>) {
        match done {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok");
            }
            Err(error) => {
                println!("test {name} ... FAILED\n{error:#}");
                self.fail(&format!("{name}: {error:#}"));
            }
        }
    }

    /// Streams a program that prints results as `cargo test` does, and adds them up. One that fails
    /// without having printed a failure counts as one.
    fn stream(&mut self, name: &str, tool: Tool) -> Result<()> {
        let before = self.failed;
        let mut command = tool.into_command();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let (mut results, mut named) = (0, false);
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line.unwrap_or_default();
            println!("{}{line}", self.prefix);
            results += u64::from(self.count(&line));
            // The names below `failures:`; what they printed stands there, too, but is not indented.
            let name = line.strip_prefix("    ").filter(|_| named);
            self.failures.extend(name.map(|name| format!("{}{name}", self.prefix)));
            named = line == "failures:" || name.is_some();
        }
        let status = child.wait()?;
        if (!status.success() && self.failed == before) || results == 0 {
            let fault =
                format!("{name} ended with {status} and {results} result lines: counted as one failure");
            println!("{fault}");
            self.fail(&fault);
        }
        Ok(())
    }

    /// One failure, and how it is said again at the end.
    fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.extend(what.lines().next().map(str::to_owned));
    }

    /// What another counted.
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }

    /// Takes a `test result:` or `SKIPPED` line into account.
    fn count(&mut self, line: &str) -> bool {
        if line.starts_with("SKIPPED ") {
            self.skipped.insert(line.to_owned());
        }
        let Some(rest) = line.strip_prefix("test result: ") else { return false };
        let number = |word: &str| {
            let at = rest.find(word)?;
            rest[..at].trim_end().rsplit(' ').next()?.parse::<u64>().ok()
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        true
    }
}

fn unit(tally: &mut Tally, ledger: &mut Ledger) -> Result<()> {
    ledger.step("kernel programs", ebpf::build)?;
    let cargo = |args: &[&str]| Tool::cargo().args(args);
    tally.check("formatting", cargo(&["fmt", "--all", "--check"]).hint("run `cargo fmt --all`").run());
    tally.check("tidy", tidy::run());
    tally.check("generated files", codegen::run(true));
    let lints = cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    let done = ledger.step("lints", || lints.run());
    tally.check("lints", done);
    let done = ledger.step("dependencies", dependencies::check);
    tally.check("licences, bans and sources of dependencies", done);
    match dependencies::advisories() {
        Ok(done) => tally.check("advisories for dependencies", done),
        Err(why) => tally.skip(&format!("advisories for dependencies: {why:#}")),
    }
    let pages = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
    let done = ledger.step("pages", || pages.run());
    tally.check("pages", done);
    let tests = cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"])
        .env("OUTIS_CONFORMANCE", conformance());
    ledger.step("cargo test", || tally.stream("cargo test", tests))
}

fn kernel(tally: &mut Tally) -> Result<()> {
    ebpf::build()?;
    if !setup::guest::supported() {
        tally.skip("guests that are cut off: there is a kernel for those on x86_64 alone");
    }
    match exists("kernel") {
        true => tally.stream("kernel tests", ignored("kernel").env("OUTIS_GUEST", setup::guest::kernel())),
        false => Ok(()),
    }
}

/// The tests whose names begin so in every crate, which plain `cargo test` leaves out: they need root or a cluster.
fn ignored(test: &str) -> Tool {
    let test = &format!("{test}*");
    Tool::cargo().args([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--test",
        test,
        "--",
        "--ignored",
        "--test-threads=1",
    ])
}

fn with_control_plane(tally: &mut Tally) -> Result<()> {
    if !exists("cluster") {
        return Ok(());
    }
    let name = unique("api");
    let options =
        cluster::Options { name: name.clone(), nodes: 1, control_plane: true, ..cluster::Options::default() };
    let tested = cluster::up(&options).and_then(|kubeconfig| {
        let tool = ignored("cluster").env("KUBECONFIG", kubeconfig);
        tally.stream("cluster tests", tool)
    });
    cluster::down(&name, false)?;
    tested
}

fn exists(test: &str) -> bool {
    let crates = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    crates.into_iter().any(|dir| dir.path().join(format!("tests/{test}.rs")).exists())
}

/// A cluster name of this run's own: several runs on one machine do not meet.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}{}", std::process::id() % 10_000)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn result_lines_are_added_up_and_others_are_not() {
        let mut tally = Tally::default();
        assert!(tally.count("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out"));
        assert!(tally.count("test result: FAILED. 2 passed; 5 failed; 0 ignored"));
        assert!(!tally.count("the result: 99 passed"));
        assert!(!tally.count("SKIPPED pods: no data"));
        assert_eq!((tally.passed, tally.failed, tally.skipped.len()), (14, 5, 1));
    }
}
