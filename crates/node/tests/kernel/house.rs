//! A sensor whose rings are read by tasks, and waiting for an event by a deadline.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outis_model::event::{Event, Exec, What};
use outis_node::{Ring, Sensor, SensorConfig};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long an event may take to arrive.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct House {
    pub(crate) sensor: Sensor,
    arriving: mpsc::Receiver<(u32, Event)>,
    /// Everything that was told, each with its ring.
    pub(crate) told: Vec<(u32, Event)>,
}

impl House {
    /// One ring; our own doings are told, too.
    pub(crate) fn start() -> Self {
        Self::with(&config())
    }

    pub(crate) fn with(config: &SensorConfig) -> Self {
        let mut sensor = Sensor::start(config).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let (to, arriving) = mpsc::channel(1 << 16);
        for ring in sensor.partitions() {
            tokio::spawn(read(ring, to.clone()));
        }
        Self { sensor, arriving, told: Vec::new() }
    }

    /// The first event, past or to come, that is what is looked for; with its ring.
    pub(crate) async fn find(&mut self, wanted: impl Fn(&Event) -> bool) -> (u32, Event) {
        let mut looked = 0;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = self.told[looked..].iter().find(|(_, event)| wanted(event)) {
                return found.clone();
            }
            looked = self.told.len();
            let arrived = timeout_at(deadline, self.arriving.recv()).await;
            let arrived = arrived.unwrap_or_else(|_| panic!("nothing of the kind among {looked} events"));
            self.told.push(arrived.expect("a reader stopped"));
        }
    }

    pub(crate) async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        self.find(wanted).await.1
    }

    /// A successful execution by this process.
    pub(crate) async fn exec(&mut self, pid: u32) -> (Event, Exec) {
        let event = self
            .until(|event| {
                event.task.pid == pid && matches!(&event.what, What::Exec(exec) if exec.result == 0)
            })
            .await;
        let What::Exec(exec) = event.what.clone() else { unreachable!("just matched") };
        (event, *exec)
    }

    /// Takes what has arrived by now.
    pub(crate) fn drain(&mut self) {
        while let Ok(arrived) = self.arriving.try_recv() {
            self.told.push(arrived);
        }
    }
}

async fn read(mut ring: Ring, to: mpsc::Sender<(u32, Event)>) {
    let mut batch = Vec::new();
    loop {
        ring.next_batch(&mut batch).await.unwrap();
        for raw in batch.drain(..) {
            let decoded = ring.decode(&raw).unwrap();
            if to.send((ring.index(), decoded.event)).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn config() -> SensorConfig {
    SensorConfig { rings: 1, own_pid_filter: false, ..SensorConfig::default() }
}

/// A child that is ended with its handle.
pub(crate) struct Ended(pub(crate) Child);

impl Ended {
    pub(crate) fn run(program: &str, args: &[&str], cwd: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(cwd).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits by looking again until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
