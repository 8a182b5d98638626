//! The binary under test, run to its end or kept running; and what it runs against.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod api;
pub(crate) mod node;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The binary in an empty environment: nothing of this machine's leads it to a cluster.
fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outis"));
    command.env_clear().env("HOME", home).current_dir(home).args(arguments).stdin(Stdio::null());
    command
}

/// How a run ended.
pub(crate) struct Said {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) fn outis(arguments: &[&str]) -> Said {
    outis_with(&[], arguments)
}

/// The same with variables.
pub(crate) fn outis_with(variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().expect("dir");
    let ended = command(home.path(), arguments).envs(variables.iter().copied()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        what: arguments.join(" "),
        code: ended.status.code(),
        out: text(&ended.stdout),
        err: text(&ended.stderr),
    }
}

impl Said {
    /// It ended with this code and said all of this, in order to be read by a person.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, parts: &[&str]) {
        let (what, both) = (&self.what, format!("{}{}", self.out, self.err));
        assert_eq!(self.code, Some(code), "{what}: {both}");
        assert!(!both.contains("panicked"), "{what}: {both}");
        parts.iter().for_each(|part| assert!(both.contains(part), "{what}: no word of {part:?}: {both}"));
    }

    /// It failed with one error line that says all of this.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        self.ends(code, parts);
        let errors = self.err.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{}: {}", self.what, self.err);
    }
}

/// A mode that runs until it is dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    _home: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("dir");
        Self::spawn(command(home.path(), arguments), home)
    }

    /// Started by a shell that runs `script` in a mount namespace of its own; the binary and its arguments are `"$@"`.
    pub(crate) fn inside(script: &str, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("dir");
        let plain = command(home.path(), arguments);
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"]);
        shell.arg(plain.get_program()).args(plain.get_args()).current_dir(home.path()).stdin(Stdio::null());
        Self::spawn(shell, home)
    }

    fn spawn(mut command: Command, home: tempfile::TempDir) -> Self {
        let log = home.path().join("log");
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).expect("file")).spawn();
        Self { child: child.expect("it runs"), log, _home: home }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("ours").is_none()
    }

    /// Waits until its log says so.
    pub(crate) async fn says(&self, text: &str) {
        let said = async || self.log().contains(text).then_some(());
        let what = format!("its log says {text:?}");
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            eventually(Duration::from_secs(60), &what, said).await;
        });
        assert!(waited.await.is_ok(), "{what}: {}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens at.
pub(crate) fn free() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}
