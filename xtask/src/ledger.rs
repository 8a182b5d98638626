//! How long each step took.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Steps and their times.
#[derive(Default)]
pub(crate) struct Ledger(Vec<(String, Duration)>);

impl Ledger {
    /// Does a step, saying so, and writes its time down even if it fails.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("--- {name}");
        let begun = Instant::now();
        let done = work();
        self.0.push((name.into(), begun.elapsed()));
        done
    }

    /// Prints the steps.
    pub(crate) fn print(&self) {
        for (name, took) in &self.0 {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        println!("{:>8.1} s  in all", total.as_secs_f64());
    }
}
