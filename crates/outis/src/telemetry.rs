//! Our own log: to standard error, as text on a terminal and as JSON where a mode runs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};

/// Starts logging. `OUTIS_LOG` takes a full filter; `-v` is the short way.
pub(crate) fn start(arguments: &Arguments) {
    let serving = matches!(
        arguments.command,
        Command::Controller(_)
            | Command::Agent(_)
            | Command::Webhook(_)
            | Command::Csi(_)
            | Command::Cleanup { .. }
    );
    let level = match (serving, arguments.verbose) {
        // What the API server says is told by whoever asked.
        (false, 0) => "warn,kube_client=off,tower=off",
        (true, 0) | (false, 1) => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("OUTIS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if serving && !std::io::stderr().is_terminal() {
        builder.json().flatten_event(true).init();
    } else {
        builder.with_target(false).init();
    }
}
