//! Running other programs so that a failure explains itself.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of a failed tool that are shown.
const LINES: usize = 25;

/// A program to run.
pub(crate) struct Tool {
    command: Command,
    name: String,
    hint: String,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let name = Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { command: Command::new(program), name, hint: String::new() }
    }

    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).at(&crate::places::root())
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    pub(crate) fn at(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What to do when it fails.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.into();
        self
    }

    /// Runs it and gives its standard output; a failure shows its last lines.
    pub(crate) fn output(mut self) -> Result<String> {
        let done = self.command.stdin(Stdio::null()).output().with_context(|| self.missing())?;
        if !done.status.success() {
            let text = [done.stdout, done.stderr].concat();
            bail!(self.failed(&String::from_utf8_lossy(&text), done.status));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Runs it quietly.
    pub(crate) fn run(self) -> Result<()> {
        self.output().map(|_| ())
    }

    /// Runs it with our own output.
    pub(crate) fn show(mut self) -> Result<()> {
        let status = self.command.stdin(Stdio::null()).status().with_context(|| self.missing())?;
        match status.success() {
            true => Ok(()),
            false => bail!(self.failed("", status)),
        }
    }

    /// The bare command, for whoever streams it.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn missing(&self) -> String {
        format!("cannot run {}; `cargo xtask setup` installs what the project needs", self.name)
    }

    fn failed(&self, text: &str, status: std::process::ExitStatus) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
        let hint = if self.hint.is_empty() { String::new() } else { format!("\n{}", self.hint) };
        format!("{} ended with {status}\n  {last}{hint}", self.name)
    }
}

/// The PATH with these folders first.
pub(crate) fn path_with(first: impl IntoIterator<Item = PathBuf>) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path))).unwrap_or(path)
}

/// Whether a program is on the PATH.
pub(crate) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}
