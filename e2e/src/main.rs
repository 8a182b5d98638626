#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod apart;
mod inventory;
mod lines;
mod load;
mod story;
mod webhook;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lines::{Lines, Part};

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
    /// Run every story; the last line reads as `cargo test`'s.
    All {
        #[command(flatten)]
        with: With,
    },
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
    load: Option<String>,
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
        Command::All { with } => all(&with).await,
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

/// Every story; those with a part removed must fail by exactly the lines that need it.
async fn all(with: &With) -> anyhow::Result<bool> {
    let mut told = apart::run(with).await?;
    told.extend(story::run(with, None).await?);
    let (mut passed, mut failed) = (told.passed(), told.failed().len());
    for part in [Part::Agent, Part::Webhook, Part::Controller] {
        println!("--- without the {}", part.name());
        let told = story::run(with, Some(part)).await?;
        match as_expected(&told, part) {
            Ok(()) => passed += 1,
            Err(why) => {
                failed += 1;
                println!("FAILED  without the {}: {why}", part.name());
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    Ok(failed == 0)
}

/// Whether the lines that failed are those that need the part, no more and no less.
fn as_expected(told: &Lines, part: Part) -> Result<(), String> {
    let (failed, expected) = (told.failed(), told.needing(part));
    match failed == expected {
        true => Ok(()),
        false => Err(format!("failed: {failed:?}; expected to fail: {expected:?}")),
    }
}
