//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{AgentSettings, ControllerSettings, CsiSettings, Overrides, WebhookSettings};

mod asking;
mod installing;

use crate::exit;
pub(crate) use asking::{Detect, Events, Identity, Log, Why};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
pub(crate) use installing::{Install, Load, Uninstall};

/// Zero trust for Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "outis", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    /// Log more of what we do: -v, -vv. `OUTIS_LOG` takes a full filter.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Cluster {
    /// Kubeconfig file; default as kubectl (the files of KUBECONFIG, ~/.kube/config), or the pod we are in.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace Outis is installed in.
    #[arg(
        long,
        global = true,
        value_name = "NAMESPACE",
        default_value = "outis-system",
        env = "OUTIS_SYSTEM_NAMESPACE"
    )]
    pub(crate) system_namespace: outis_model::Namespace,
}

impl Cluster {
    /// The same, with Outis in another namespace where one is named.
    pub(crate) fn at(&self, namespace: Option<&outis_model::Namespace>) -> Self {
        let named = namespace.unwrap_or(&self.system_namespace).clone();
        Self { system_namespace: named, ..self.clone() }
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value, or one a line where it goes on.
    Json,
    /// YAML.
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the controller.
    Controller(Overrides<ControllerSettings>),
    /// Run the agent of a node.
    Agent(Overrides<AgentSettings>),
    /// Run the admission webhook.
    Webhook(Overrides<WebhookSettings>),
    /// Run the volume driver that hands the Workload API to pods.
    Csi(Overrides<CsiSettings>),
    /// Remove our directories from a node; the last pod of an uninstall.
    #[command(hide = true)]
    Cleanup {
        /// Directories of ours.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
    },
    /// Put Outis into a cluster, or bring what is there up to this binary.
    Install(Box<Install>),
    /// Take Outis out of a cluster.
    Uninstall(Uninstall),
    /// What is in force and what is not. Exits 1 when a configured protection is not in force.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// What keeps, or would keep, Outis from working here, each with its fix. Exits 1 when something does.
    Doctor {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Detection rules.
    #[command(subcommand)]
    Detect(Detect),
    /// Decisions, alerts, changes, with their ids.
    Events(Events),
    /// The reasons behind one decision.
    Why(Why),
    /// Judge manifests as the webhook would. Exits 1 when one is refused.
    Scan(Scan),
    /// Workload identities.
    #[command(subcommand)]
    Identity(Identity),
    /// The record log.
    #[command(subcommand)]
    Log(Log),
    /// The controller's store, on disk.
    #[command(subcommand)]
    Store(Store),
    /// Print our custom resource definitions, to be applied to a cluster.
    Crds,
    /// Print a completion script.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// What to judge, and by what.
#[derive(Debug, clap::Args)]
pub(crate) struct Scan {
    /// Manifests: files, directories, or `-` for standard input.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Policies: files or directories; default the cluster's.
    #[arg(short, long = "policies", value_name = "FILE")]
    pub(crate) policies: Vec<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// The controller's store, on disk.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Look for damage in a store nobody has open. Exits 1 when there is some.
    Check {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Accept the loss in a damaged store, so that it takes records again. The gap stays visible.
    Repair {
        /// The store's directory.
        dir: PathBuf,
    },
}

/// Reads the command line. Printing help is fine (0); bad usage is 64.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    Arguments::try_parse_from(args).map_err(|error| {
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::FINE })
    })
}

/// The command's grammar, for completion and the reference page.
pub(crate) fn grammar() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, ExitCode> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }

    #[test]
    fn the_kubectl_plugin_is_the_same_binary() {
        assert!(parsed("kubectl-outis log verify x").is_ok());
    }

    #[test]
    fn bad_usage_ends_with_64() {
        for line in [
            "outis frobnicate",
            "outis why",
            "outis events --since soon",
            "outis scan x --nonsense",
            "outis scan",
        ] {
            assert_eq!(
                format!("{:?}", parsed(line).err()),
                format!("{:?}", Some(ExitCode::from(64))),
                "{line}"
            );
        }
    }
}
