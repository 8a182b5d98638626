//! Signatures per second: a request parsed, its own signature checked, a leaf signed, on one core and on all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outis_identity::{Authority, IdentityError, Key, Leaf};
use outis_model::Timestamp;

const RUN: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::now();
    let domain = "cluster.local".parse()?;
    let authority = Authority::create(&domain, now)?;
    let leaf =
        Leaf { id: "spiffe://cluster.local/ns/shop/sa/backend".parse()?, dns: vec![], lifetime: 14_400 };
    let requests = (0..64).map(|_| Key::generate()?.request("workload")).collect::<Result<Vec<_>, _>>()?;
    let cores = std::thread::available_parallelism()?.get();

    let keys = rate(1, |_| Key::generate()?.request("workload").map(drop))?;
    println!("key pair + request     {keys:>10.0} /s on one core");
    let sign = |at: u64| {
        let request = &requests[usize::try_from(at % 64).expect("below 64")];
        authority.sign(request, &leaf, now).map(drop)
    };
    let one = rate(1, sign)?;
    println!("leaf from a request    {one:>10.0} /s on one core     budget 8000");
    let all = rate(cores, sign)?;
    println!("leaf from a request    {all:>10.0} /s on {cores} cores");
    println!("10,000 workloads       {:>10.2} s of signing          budget 10", 10_000.0 / all);
    Ok(())
}

/// Calls per second of `work` on so many threads.
fn rate(
    threads: usize,
    work: impl Fn(u64) -> Result<(), IdentityError> + Sync,
) -> Result<f64, IdentityError> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let run = || {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                work(at)?;
                at += 1;
            }
            done.fetch_add(at, Ordering::Relaxed);
            Ok::<(), IdentityError>(())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        // Parking may end early: a thread of the run before may have left a wake-up behind.
        while start.elapsed() < RUN {
            std::thread::park_timeout(RUN.saturating_sub(start.elapsed()));
        }
        stop.store(true, Ordering::Relaxed);
        running.into_iter().try_for_each(|thread| thread.join().expect("no panic in it"))
    })?;
    let calls = u32::try_from(done.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    Ok(f64::from(calls) / start.elapsed().as_secs_f64())
}
