//! What each command does: asks the rooms, prints what they say, ends with a code scripts can read.

mod ask;
mod detect;
mod doctor;
mod events;
mod identity;
mod install;
mod log;
mod output;
mod scan;
mod status;
mod uninstall;
mod why;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::{Arguments, Command};
use crate::config::{AgentConfig, ControllerConfig, CsiConfig, WebhookConfig};
use crate::exit;

/// Runs a command to its end.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    match dispatch(arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::failed(&error),
    }
}

async fn dispatch(arguments: Arguments) -> Result<u8> {
    match arguments.command {
        Command::Controller(overrides) => {
            crate::mode::controller::run(ControllerConfig::read(overrides.reader()?)?, &arguments.cluster)
                .await?;
            Ok(exit::FINE)
        }
        Command::Agent(overrides) => {
            crate::mode::agent::run(AgentConfig::read(overrides.reader()?)?, &arguments.cluster).await?;
            Ok(exit::FINE)
        }
        Command::Csi(overrides) => {
            crate::mode::csi::run(CsiConfig::read(overrides.reader()?)?).await?;
            Ok(exit::FINE)
        }
        Command::Cleanup { dirs } => {
            crate::mode::cleanup::run(dirs).await?;
            Ok(exit::FINE)
        }
        Command::Install(install) => {
            install::run(&install, &arguments.cluster.at(install.namespace.as_ref())).await
        }
        Command::Uninstall(uninstall) => {
            uninstall::run(&uninstall, &arguments.cluster.at(uninstall.namespace.as_ref())).await
        }
        Command::Status { output } => status::run(output, &arguments.cluster).await,
        Command::Doctor { output } => doctor::run(output, &arguments.cluster).await,
        Command::Detect(detect) => detect::run(&detect, &arguments.cluster).await,
        Command::Events(events) => events::run(&events, &arguments.cluster).await,
        Command::Why(why) => why::run(&why, &arguments.cluster).await,
        Command::Webhook(overrides) => {
            crate::mode::webhook::run(WebhookConfig::read(overrides.reader()?)?, &arguments.cluster).await?;
            Ok(exit::FINE)
        }
        Command::Scan(scan) => scan::run(&scan, &arguments.cluster).await,
        Command::Log(log) => log::run(&log, &arguments.cluster).await,
        Command::Store(store) => log::store(&store).await,
        Command::Identity(identity) => identity::run(&identity, &arguments.cluster).await,
        Command::Crds => {
            println!("{}", serde_saphyr::to_string_multiple(&outis_api::crds())?);
            Ok(exit::FINE)
        }
        Command::Completion { shell } => {
            let mut grammar = crate::arguments::grammar();
            clap_complete::generate(shell, &mut grammar, "outis", &mut std::io::stdout());
            Ok(exit::FINE)
        }
    }
}
