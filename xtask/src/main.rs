#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bench;
mod cluster;
mod codegen;
mod demo;
mod dependencies;
mod ebpf;
mod image;
mod ledger;
mod mutants;
mod places;
mod setup;
mod test;
mod tidy;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything cargo alone cannot do.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the project needs.
    Setup {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// From nothing to the story on a real cluster.
    Demo(demo::Demo),
    /// Run tests: all, or the kinds given.
    Test {
        /// Which kinds.
        kinds: Vec<test::Kind>,
        /// Run e2e against this cluster instead of one made for it.
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
    },
    /// Generate what is generated.
    Codegen {
        /// Change nothing; fail when something would.
        #[arg(long)]
        check: bool,
    },
    /// Build the kernel programs.
    Ebpf,
    /// Write the image archives.
    Image,
    /// A real cluster in namespaces of its own.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Measure something.
    Bench {
        /// What; without it, list them.
        name: Option<String>,
    },
    /// What lints cannot see.
    Tidy,
    /// Change what decides, a place at a time, and list the changes that no test notices.
    Mutants(mutants::Mutants),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup { yes } => setup::run(setup::Scope::All, yes),
        Command::Demo(demo) => demo::run(&demo),
        Command::Test { kinds, kubeconfig } => return test::run(&kinds, kubeconfig.as_deref()),
        Command::Codegen { check } => codegen::run(check),
        Command::Ebpf => ebpf::build().map(|_| ()),
        Command::Image => image::run(),
        Command::Cluster(cluster) => cluster::run(&cluster),
        Command::Bench { name } => bench::run(name.as_deref()),
        Command::Tidy => tidy::run(),
        Command::Mutants(mutants) => mutants::run(&mutants),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
