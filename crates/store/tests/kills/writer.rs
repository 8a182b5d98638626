//! A writer that is stopped without warning: it appends for ever, and tells each number when it is
//! acknowledged. Shared by the test that kills its process and the one that cuts off its machine.

use std::io::Write;
use std::time::Duration;

use outis_model::Timestamp;
use outis_model::record::Record;
use outis_store::Log;

use crate::record::record;

/// Numbers of one life of the writer.
pub(crate) const LIFE: u64 = 1 << 32;
const WRITERS: u64 = 32;

/// Now and then a record is so long that the database gives it a file of its own.
const LONG: u64 = 100;

/// A record depends on its number alone, so that who reads can ask for it and compare.
pub(crate) fn numbered(number: u64) -> Record {
    let size = if number.is_multiple_of(LONG) { 150_000 } else { 200 };
    record(number, Timestamp::from_second(1_790_000_000).expect("in range"), size)
}

/// Appends for ever, from this number on.
pub(crate) fn write(log: &Log, first: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
    runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let log = log.clone();
                tokio::spawn(async move {
                    for number in (first + writer..).step_by(usize::try_from(WRITERS).expect("small")) {
                        log.append(vec![numbered(number)]).await.expect("appended");
                        let _ = writeln!(std::io::stdout().lock(), "acknowledged {number}.");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("goes on until it is stopped");
        }
    });
}

/// The rest of a line that begins with this word. The last line may be torn: only one with its full stop
/// counts.
pub(crate) fn told<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix('.')
}

/// Throws instants.
pub(crate) struct Dice {
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = u64::try_from(Timestamp::now().as_nanosecond() & 0xffff_ffff).expect("32 bits") | 1;
        Self { seed, state: seed }
    }

    /// Less than this.
    pub(crate) fn below(&mut self, most: Duration) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.state >> 33) % u64::try_from(most.as_micros()).expect("short"))
    }
}
