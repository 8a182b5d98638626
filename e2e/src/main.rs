#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod apart;
mod inventory;
mod kernel;
mod lines;
mod load;
mod story;
mod webhook;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lines::{Lines, Part};
use story::Length;

/// User stories on a real cluster.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell the main story as checked lines.
    Story {
        #[command(flatten)]
        with: With,
        /// End after the story.
        #[arg(long)]
        check: bool,
        /// Leave everything in place.
        #[arg(long)]
        keep: bool,
        /// Remove this part once all is installed: exactly the lines that need it must fail.
        #[arg(long, value_enum)]
        without: Option<Part>,
    },
    /// Run stories one after another; the last line reads as `cargo test`'s.
    All {
        #[command(flatten)]
        with: With,
        /// Only these; without it every one.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Tale>,
    },
    /// Keep the controller away for a while, with work going on, and look at who is left.
    Away {
        #[command(flatten)]
        with: With,
        /// For how long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
}

/// A story that stands alone: it installs what it needs and leaves nothing.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tale {
    /// The webhook by itself.
    Apart,
    /// The demo's lines and no more.
    Brief,
    /// The demo's lines and every other.
    Whole,
    /// Renewed identities, a new root.
    Keys,
    /// The namespace is deleted instead of uninstalled.
    Namespace,
    /// The store's disk is full.
    Full,
    /// Exactly the lines that need the agent fail.
    WithoutAgent,
    /// Exactly the lines that need the webhook fail.
    WithoutWebhook,
    /// Exactly the lines that need the controller fail.
    WithoutController,
}

/// On which cluster, with which binary.
#[derive(Args, Clone)]
pub(crate) struct With {
    /// The cluster.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The binary under test.
    #[arg(long)]
    outis: PathBuf,
    /// The sample shop's image.
    #[arg(long, default_value = concat!("localhost/outis/shop:", env!("CARGO_PKG_VERSION")))]
    shop_image: String,
    /// How `outis install` gets its image onto the nodes: what its `--load` takes.
    #[arg(long)]
    load: Vec<String>,
    /// The product's image archive, for `--load`.
    #[arg(long, requires = "load")]
    archive: Option<PathBuf>,
    /// A program that runs its arguments on the node, to look for what is left behind there.
    #[arg(long)]
    in_node: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let done = match Arguments::parse().command {
        Command::Story { with, check, keep, without } => story::tell(&with, check, keep, without).await,
        Command::All { with, only } => {
            let tales = if only.is_empty() { Tale::value_variants() } else { &only };
            all(&with, tales).await
        }
        Command::Away { with, minutes } => story::away(&with, minutes).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Stories and what they come to.
async fn all(with: &With, tales: &[Tale]) -> anyhow::Result<bool> {
    let (mut passed, mut failed) = (0, vec![]);
    for tale in tales {
        if *tale == Tale::Full && with.in_node.is_none() {
            println!("SKIPPED full disk: there is no way to the nodes of this cluster");
            continue;
        }
        let told = match tale {
            Tale::Apart => apart::run(with).await?,
            Tale::Brief => story::run(with, None, Length::Brief).await?,
            Tale::Whole => story::run(with, None, Length::Whole).await?,
            Tale::Keys => story::keys(with).await?,
            Tale::Namespace => story::namespace(with).await?,
            Tale::Full => story::full(with).await?,
            Tale::WithoutAgent => without(with, Part::Agent).await?,
            Tale::WithoutWebhook => without(with, Part::Webhook).await?,
            Tale::WithoutController => without(with, Part::Controller).await?,
        };
        passed += told.passed();
        failed.extend(told.faults());
    }
    if !failed.is_empty() {
        println!("failures:");
        failed.iter().for_each(|line| println!("    {line}"));
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored", failed.len());
    Ok(failed.is_empty())
}

/// The story with a part removed, as one line: exactly those that need the part must have failed.
async fn without(with: &With, part: Part) -> anyhow::Result<Lines> {
    println!("--- without the {}", part.name());
    let told = story::run(with, Some(part), Length::Brief).await?;
    let name = match part {
        Part::Agent => "without the agent",
        Part::Webhook => "without the webhook",
        Part::Controller => "without the controller",
    };
    let mut lines = Lines::default();
    let judged = async { as_expected(&told, part).map_err(anyhow::Error::msg) };
    lines.tell(name, &[], judged).await;
    Ok(lines)
}

/// Whether the lines that failed are those that need the part, no more and no less.
fn as_expected(told: &Lines, part: Part) -> Result<String, String> {
    let (failed, expected) = (told.failed(), told.needing(part));
    match failed == expected {
        true => Ok(format!("exactly the {} lines that need it failed", failed.len())),
        false => Err(format!("failed: {failed:?}; expected to fail: {expected:?}")),
    }
}
