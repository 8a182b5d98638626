#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod lines;
mod load;
mod story;
mod webhook;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

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
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let done = match Arguments::parse().command {
        Command::Story { with, check, keep } => story::tell(&with, check, keep).await,
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

async fn all(with: &With) -> anyhow::Result<bool> {
    let told = story::run(with).await?;
    let (passed, failed) = (told.passed(), told.failed().len());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    Ok(failed == 0)
}
