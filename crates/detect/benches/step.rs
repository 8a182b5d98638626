//! `cargo bench -p outis-detect`: what judging 1,000 events costs on one thread, by what happens and
//! by which rules judge. That each event matches one rule, or none, is asserted before the clock
//! runs. Without the upstream rules only ours are measured.

#[path = "../tests/world/mod.rs"]
mod world;

use divan::Bencher;
use divan::counter::ItemsCount;
use outis_detect::step;
use world::traffic::{Kind, PROCESSES, Rules, ready};

fn main() {
    divan::main();
}

fn measure(bencher: Bencher<'_, '_>, rules: Rules, kind: Kind) {
    let Some(rules) = rules.compiled() else { return };
    let (mut state, events) = ready(&rules, kind);
    bencher
        .counter(ItemsCount::new(PROCESSES))
        .bench_local(|| events.iter().map(|event| step(&rules, &mut state, event).len()).sum::<usize>());
}

#[divan::bench(args = Kind::ALL)]
fn ours(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, Rules::Ours, kind);
}

#[divan::bench(args = Kind::ALL)]
fn upstream(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, Rules::Upstream, kind);
}

#[divan::bench(args = Kind::ALL)]
fn both(bencher: Bencher<'_, '_>, kind: Kind) {
    measure(bencher, Rules::Both, kind);
}
