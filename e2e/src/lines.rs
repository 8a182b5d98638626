//! A story's lines: each checked and timed.

use std::time::Instant;

use anyhow::Result;

struct Line {
    name: &'static str,
    passed: bool,
}

/// Lines as they are told.
#[derive(Default)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    /// Tells one line; what it says, or why it failed, is printed with its time. A failed line does not
    /// end the story.
    pub(crate) async fn tell(
        &mut self,
        name: &'static str,
        line: impl Future<Output = Result<String>>,
    ) -> bool {
        let begun = Instant::now();
        let done = line.await;
        let seconds = begun.elapsed().as_secs_f64();
        match &done {
            Ok(said) => println!("ok      {seconds:>6.1} s  {name}: {said}"),
            Err(error) => println!("FAILED  {seconds:>6.1} s  {name}: {error:#}"),
        }
        self.0.push(Line { name, passed: done.is_ok() });
        done.is_ok()
    }

    pub(crate) fn passed(&self) -> usize {
        self.0.iter().filter(|line| line.passed).count()
    }

    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.0.iter().filter(|line| !line.passed).map(|line| line.name).collect()
    }
}
