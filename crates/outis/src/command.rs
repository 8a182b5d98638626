//! What each command does: asks the rooms, prints what they say, ends with a code scripts can read.

mod log;

mod output;
mod scan;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::{Arguments, Command};
use crate::config::WebhookConfig;
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
        Command::Webhook(overrides) => {
            crate::mode::webhook::run(WebhookConfig::read(overrides.reader()?)?, &arguments.cluster).await?;
            Ok(exit::FINE)
        }
        Command::Scan(scan) => scan::run(&scan, &arguments.cluster).await,
        Command::Log(log) => log::run(&log),
        Command::Store(store) => log::store(&store).await,
        Command::Identity(identity) => identity::run(&identity),
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

mod identity {
    use std::path::Path;

    use anyhow::{Context, Result};
    use outis_model::Timestamp;

    use crate::arguments::Identity;
    use crate::exit;

    /// Identities, offline.
    pub(super) fn run(identity: &Identity) -> Result<u8> {
        match identity {
            Identity::Verify { file, bundle } => verify(file, bundle),
        }
    }

    fn verify(file: &Path, bundle: &Path) -> Result<u8> {
        let read = |path: &Path| {
            let bytes = crate::manifests::read(path)?;
            outis_identity::from_pem(&bytes).with_context(|| format!("cannot read {}", path.display()))
        };
        let (chain, roots) = (read(file)?, read(bundle)?);
        match outis_identity::verify(&chain, &roots, Timestamp::now()) {
            Ok(id) => {
                println!("{id}\nthe chain of {} certificates leads to the bundle", chain.len());
                Ok(exit::FINE)
            }
            Err(error) => {
                println!("not verified: {error}");
                Ok(exit::FINDINGS)
            }
        }
    }
}
