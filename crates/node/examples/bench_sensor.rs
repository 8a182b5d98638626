//! What the sensor costs and how fast it is, on this machine, as root: `cargo xtask bench sensor`.
//!
//! Nanoseconds per program are the kernel's own count (`bpf_stats`), which includes about 20 ns of
//! counting. Throughput is one producer against one reader with decoding and attribution.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use outis_model::snapshot::Snapshot;
use outis_node::{Attribution, Hold, Interest, Kind, Opens, Ring, Sensor, SensorConfig};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

type Done<T> = Result<T, Box<dyn std::error::Error>>;

const PROGRAMS: [&str; 7] =
    ["exec_done", "exec_failed", "forked", "exited", "opened", "connected", "accepted"];

fn main() -> Done<()> {
    let bare = (cost(uninteresting), cost(an_open));
    let started = Instant::now();
    let mut sensor = Sensor::start(&config(Opens::All))?;
    println!("start: {:?} (resolve, load, attach, list)", started.elapsed());
    let loaded = (cost(uninteresting), cost(an_open));
    println!("syscall nobody looks at: {} ns bare, {} ns beside the sensor", bare.0, loaded.0);
    println!("open and close: {} ns bare, {} ns told", bare.1, loaded.1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ring = sensor.partitions().pop().ok_or("no ring")?;
    programs(&mut sensor)?;
    runtime.block_on(latency(&mut ring))?;
    drop((ring, sensor));
    runtime.block_on(throughput())?;
    Ok(())
}

fn config(opens: Opens) -> SensorConfig {
    let interest = Interest { opens, ..Interest::default() };
    SensorConfig { rings: 1, own_pid_filter: false, interest, ..SensorConfig::default() }
}

/// Nanoseconds of one call, of many.
fn cost(call: fn()) -> u128 {
    const CALLS: u32 = 100_000;
    let started = Instant::now();
    (0..CALLS).for_each(|_| call());
    started.elapsed().as_nanos() / u128::from(CALLS)
}

fn uninteresting() {
    let _ = rustix::process::getppid();
}

fn an_open() {
    let _ = File::open("/etc/passwd");
}

/// Runs and nanoseconds of a program so far, from the descriptor's own page.
fn spent(name: &str) -> Done<(u64, u64)> {
    for program in loaded_programs() {
        let program = program?;
        if program.name_as_str() != Some(name) {
            continue;
        }
        let descriptor = program.fd()?;
        let page = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd()))?;
        let column = |key: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        return Ok((column("run_cnt:"), column("run_time_ns:")));
    }
    Err(format!("{name} is not loaded").into())
}

fn programs(sensor: &mut Sensor) -> Done<()> {
    let _counting = enable_stats(Stats::RunTime)?;
    let measure = |what: &str, program: &str, work: &dyn Fn() -> io::Result<()>| -> Done<()> {
        let (runs, time) = spent(program)?;
        work()?;
        let (after, spent) = spent(program)?;
        println!("  {what:<34} {:>6} ns over {} runs", (spent - time) / (after - runs).max(1), after - runs);
        Ok(())
    };
    println!("per program, counted by the kernel:");
    measure("opened, told", "opened", &|| repeat(20_000, || File::open("/etc/passwd").map(drop)))?;
    measure("opened, failed and told", "opened", &|| {
        repeat(20_000, || {
            let _ = File::open("/etc/absent");
            Ok(())
        })
    })?;
    for program in ["forked", "exec_done", "exited"] {
        measure(program, program, &|| repeat(300, || Command::new("/bin/true").status().map(drop)))?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let pair = || TcpStream::connect(at).and_then(|_| listener.accept().map(drop));
    measure("connected", "connected", &|| repeat(3000, pair))?;
    measure("accepted", "accepted", &|| repeat(3000, pair))?;
    let listed =
        Opens::Listed { writes: true, prefixes: vec!["/var/".into()], suffixes: vec!["id_rsa".into()] };
    sensor.set_interest(&Interest { opens: listed, ..Interest::default() })?;
    measure("opened, not listed", "opened", &|| repeat(20_000, || File::open("/etc/passwd").map(drop)))?;
    sensor.set_interest(&Interest { kinds: vec![Kind::Exec], opens: Opens::None })?;
    measure("opened, not wanted", "opened", &|| repeat(20_000, || File::open("/etc/passwd").map(drop)))?;
    sensor.set_interest(&Interest::default())?;
    for name in PROGRAMS {
        spent(name)?;
    }
    Ok(())
}

fn repeat(times: u32, mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    (0..times).try_for_each(|_| work())
}

fn boot_time() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// From the kernel's stamp to the worker, one event at a time.
async fn latency(ring: &mut Ring) -> Done<()> {
    let mut batch = Vec::new();
    while tokio::time::timeout(Duration::from_millis(200), ring.next_batch(&mut batch)).await.is_ok() {
        batch.clear();
    }
    let opener = std::thread::spawn(|| {
        for _ in 0..2000 {
            std::thread::sleep(Duration::from_millis(1));
            an_open();
        }
    });
    let mut waits = Vec::new();
    while !opener.is_finished() {
        let read = tokio::time::timeout(Duration::from_millis(100), ring.next_batch(&mut batch)).await;
        let Ok(read) = read else { continue };
        read?;
        let now = boot_time();
        for raw in batch.drain(..) {
            waits.push(now.saturating_sub(ring.decode(&raw)?.event.stamp));
        }
    }
    waits.sort_unstable();
    let at = |share: usize| Duration::from_nanos(waits[waits.len() * share / 1000]);
    println!(
        "stamp to worker, idle: p50 {:?}, p99 {:?}, p99.9 {:?} of {}",
        at(500),
        at(990),
        at(999),
        waits.len()
    );
    Ok(())
}

async fn throughput() -> Done<()> {
    let mut sensor = Sensor::start(&config(Opens::All))?;
    let mut ring = sensor.partitions().pop().ok_or("no ring")?;
    let (_tell, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let mut attribution = Attribution::new(snapshots, sensor.own_cgroup(), Hold::default());
    let stop = Arc::new(AtomicBool::new(false));
    let producer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while !stop.load(Ordering::Relaxed) {
                an_open();
            }
        }
    });
    let (started, cpu) = (Instant::now(), thread_time());
    let (mut events, mut ready) = (0_u64, Vec::new());
    while started.elapsed() < Duration::from_secs(5) {
        ring.events(&mut attribution, &mut ready).await?;
        events += ready.drain(..).count() as u64;
    }
    let (wall, cpu) = (started.elapsed(), thread_time() - cpu);
    stop.store(true, Ordering::Relaxed);
    producer.join().map_err(|_| "the producer stopped")?;
    println!(
        "flood of opens: {:.0} events/s told, {} lost, worker {:.0} ns of processor each, which is {:.0} events/s per core",
        events as f64 / wall.as_secs_f64(),
        sensor.lost().iter().sum::<u64>(),
        cpu as f64 / events as f64,
        events as f64 * 1e9 / cpu as f64,
    );
    let status = fs::read_to_string("/proc/self/status")?;
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon") || line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
    Ok(())
}

fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
