#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod arguments;
mod chain;
mod chance;
mod command;
mod config;
mod doctor;
mod exit;
mod link;
mod manifests;
mod mode;
mod network;
mod policies;
mod rules;
mod status;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    end_with_our_reader();
    telemetry::start(&arguments);
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::failed(&anyhow::Error::new(error).context("cannot start the async runtime"));
        }
    };
    let code = runtime.block_on(command::run(arguments));
    // A blocked worker (a store that flushes, a rule that is evaluated) must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

/// `outis events | head` ends as other tools do when nobody reads any more, instead of with a panic's text.
fn end_with_our_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let gone = |text: &str| text.starts_with("failed printing to stdout") && text.contains("Broken pipe");
        if panic.payload_as_str().is_some_and(gone) {
            // As a process that SIGPIPE ended.
            std::process::exit(141);
        }
        usual(panic);
    }));
}
