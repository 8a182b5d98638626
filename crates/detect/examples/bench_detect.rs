//! Events judged per second on one thread, beside the budget: 100,000 matching events a second and
//! core. `cargo run -p outis-detect --example bench_detect [ROUNDS]`; the median round counts. The number of matches is
//! asserted, so that nothing is measured that does not happen.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; the engine does not")]

#[path = "../tests/world/mod.rs"]
mod world;

use std::time::Instant;

use outis_detect::step;
use world::traffic::{Kind, PROCESSES, Rules, ready};

const BUDGET: f64 = 100_000.0;

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(300_usize).max(1);
    println!("{:<10} {:<13} {:>10} {:>13}", "rules", "event", "ns/event", "events/s");
    for rules in Rules::ALL {
        let Some(compiled) = rules.compiled() else {
            eprintln!("SKIPPED {rules:?}: the upstream rules are not there; set OUTIS_CONFORMANCE");
            continue;
        };
        for kind in Kind::ALL {
            let (mut state, events) = ready(&compiled, kind);
            let mut matches = 0;
            let mut round = || {
                let begin = Instant::now();
                matches += events.iter().map(|event| step(&compiled, &mut state, event).len()).sum::<usize>();
                begin.elapsed().as_secs_f64() / PROCESSES as f64
            };
            let mut took: Vec<f64> = (0..rounds).map(|_| round()).collect();
            took.sort_by(f64::total_cmp);
            let each = took[rounds / 2];
            assert_eq!(matches, if kind.told() { rounds * PROCESSES } else { 0 });
            let budget = match kind.told() {
                true => format!("  budget {BUDGET:.0}: {:.1} x", 1.0 / each / BUDGET),
                false => String::new(),
            };
            let (rules, kind) = (format!("{rules:?}"), format!("{kind:?}"));
            println!("{rules:<10} {kind:<13} {:>10.0} {:>13.0}{budget}", each * 1e9, 1.0 / each);
        }
    }
}
