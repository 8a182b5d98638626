//! A story's lines: each checked and timed.

use std::time::Instant;

use anyhow::Result;

/// A part of the appliance a line may need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Part {
    /// One per node.
    Agent,
    /// Admission.
    Webhook,
    /// Store, authority.
    Controller,
}

impl Part {
    /// Its name in the cluster.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Webhook => "webhook",
            Self::Controller => "controller",
        }
    }
}

struct Line {
    name: &'static str,
    needs: &'static [Part],
    fault: Option<String>,
}

/// Lines as they are told.
#[derive(Default)]
pub(crate) struct Lines(Vec<Line>);

/// A line and how many seconds it took.
async fn timed(line: impl Future<Output = Result<String>>) -> (Result<String>, f64) {
    let begun = Instant::now();
    let done = line.await;
    (done, begun.elapsed().as_secs_f64())
}

impl Lines {
    /// Tells one line; what it says, or why it failed, is printed with its time. A failed line does not
    /// end the story.
    pub(crate) async fn tell(
        &mut self,
        name: &'static str,
        needs: &'static [Part],
        line: impl Future<Output = Result<String>>,
    ) -> bool {
        let (done, seconds) = timed(line).await;
        self.note(name, needs, done, seconds)
    }

    fn note(
        &mut self,
        name: &'static str,
        needs: &'static [Part],
        done: Result<String>,
        seconds: f64,
    ) -> bool {
        match &done {
            Ok(said) => println!("ok      {seconds:>6.1} s  {name}: {said}"),
            Err(error) => println!("FAILED  {seconds:>6.1} s  {name}: {error:#}"),
        }
        let passed = done.is_ok();
        self.0.push(Line { name, needs, fault: done.err().map(|error| format!("{error:#}")) });
        passed
    }

    pub(crate) fn passed(&self) -> usize {
        self.0.iter().filter(|line| line.fault.is_none()).count()
    }

    /// Lines that do not need a part, or that do.
    pub(crate) fn needing(&self, part: Part) -> Vec<&'static str> {
        self.0.iter().filter(|line| line.needs.contains(&part)).map(|line| line.name).collect()
    }

    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.0.iter().filter(|line| line.fault.is_some()).map(|line| line.name).collect()
    }

    /// What failed and why, a line each.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.0
            .iter()
            .filter_map(move |line| Some(format!("{}: {}", line.name, one_line(line.fault.as_ref()?))))
    }
}
