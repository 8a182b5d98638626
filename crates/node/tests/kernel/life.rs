//! Starting, overrunning, leaving nothing behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use outis_model::event::What;
use outis_node::{Interest, Kind, Opens, Sensor, SensorConfig, facts};

use crate::house::{Ended, House, chain, config, eventually};

#[tokio::test]
#[ignore = "needs root"]
async fn what_does_not_fit_is_lost_and_counted_exactly() {
    let interest = Interest { kinds: vec![Kind::Open], opens: Opens::All };
    let config = SensorConfig { ring_bytes: 4096, interest, ..config() };
    let mut sensor = Sensor::start(&config).unwrap();
    let mut ring = sensor.partitions().pop().unwrap();
    for _ in 0..5000 {
        File::open("/etc/passwd").unwrap();
    }
    let lost_in_flood = sensor.lost()[0];
    assert!(lost_in_flood > 3000, "{lost_in_flood}");
    let mut numbers = BTreeSet::new();
    let mut batch = Vec::new();
    // Sequence numbers are taken by what is lost, too: all of them are accounted for.
    for _ in 0..100 {
        File::open("/etc/passwd").unwrap();
        ring.next_batch(&mut batch).await.unwrap();
        for raw in batch.drain(..) {
            let event = ring.decode(&raw).unwrap().event;
            if !matches!(event.what, What::Seen(_)) {
                assert!(numbers.insert(event.number), "{} came twice", event.number);
            }
        }
        let attempts = numbers.last().map_or(0, |last| last + 1);
        if numbers.len() > 100 && attempts == numbers.len() as u64 + sensor.lost()[0] {
            return;
        }
    }
    panic!("{} told, {:?} lost, last {:?}", numbers.len(), sensor.lost(), numbers.last());
}

#[tokio::test]
#[ignore = "needs root"]
async fn nothing_stays_in_the_kernel() {
    const OURS: [&str; 8] =
        ["exec_done", "exec_failed", "forked", "exited", "opened", "connected", "accepted", "seen"];
    const MAPS: [&str; 4] = ["outis_ring", "NUMBERS", "SCRATCH", "KNOWN"];
    // Another agent may run on this machine: only what comes with our sensor has to go with it.
    let programs = || -> BTreeSet<u32> {
        let all = aya::programs::loaded_programs().filter_map(Result::ok);
        let ours = all.filter(|program| program.name_as_str().is_some_and(|name| OURS.contains(&name)));
        ours.map(|program| program.id()).collect()
    };
    let maps = || -> BTreeSet<u32> {
        let all = aya::maps::loaded_maps().filter_map(Result::ok);
        let ours = all.filter(|map| map.name_as_str().is_some_and(|name| MAPS.contains(&name)));
        ours.map(|map| map.id()).collect()
    };
    let (others_programs, others_maps) = (programs(), maps());
    let mut sensor = Sensor::start(&config()).unwrap();
    let own_programs = &programs() - &others_programs;
    let own_maps = &maps() - &others_maps;
    assert_eq!((own_programs.len(), own_maps.len()), (8, 4));
    drop(sensor.partitions());
    drop(sensor);
    let left = || (&programs() & &own_programs).len() + (&maps() & &own_maps).len();
    eventually("programs and maps are gone", || left() == 0).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn our_own_doings_are_left_out_and_counted() {
    let mut house = House::with(&SensorConfig { own_pid_filter: true, ..config() });
    let before = house.sensor.counts().own;
    File::open("/etc/passwd").unwrap();
    assert!(house.sensor.counts().own > before);
    let child = Ended::run("true", &[], Path::new("/"));
    house.exec(child.pid()).await;
    house.drain();
    assert!(house.told.iter().all(|(_, event)| event.task.pid != std::process::id()));
}

#[tokio::test]
#[ignore = "needs root"]
async fn kinds_nobody_wants_are_left_out() {
    let mut house = House::start();
    house.sensor.set_interest(&Interest { kinds: vec![Kind::Exec], opens: Opens::All }).unwrap();
    let child = Ended::run("true", &[], Path::new("/"));
    house.exec(child.pid()).await;
    house.drain();
    let late = house.told.iter().rev().take_while(|(_, event)| event.task.pid == child.pid());
    assert!(late.into_iter().all(|(_, event)| matches!(event.what, What::Exec(_))));
}

/// Not a test of its own: says why the sensor does not start in a process without rights.
#[test]
#[ignore = "needs root"]
fn says_why_it_does_not_start() {
    if std::env::var_os("OUTIS_WITHOUT_RIGHTS").is_some() {
        match Sensor::start(&config()) {
            Ok(_) => println!("SAID it started"),
            Err(error) => println!("SAID {}", chain(&error)),
        }
    }
}

/// What it says when run behind these words.
fn said(before: &[&str]) -> String {
    let output = Command::new(before[0])
        .args(&before[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "life::says_why_it_does_not_start", "--nocapture"])
        .env("OUTIS_WITHOUT_RIGHTS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.split_once("SAID ")).map(|(_, said)| said.to_owned());
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_is_in_the_way_is_named() {
    drop(Sensor::start(&config()).unwrap());
    let without = ["setpriv", "--bounding-set", "-all", "--"];
    let refused = said(&without);
    assert!(refused.starts_with("the kernel does not let this process load programs"), "{refused}");
    let hidden = "umount -l /sys/kernel/tracing; exec setpriv --bounding-set -all -- \"$0\" \"$@\"";
    let refused = said(&["unshare", "-m", "sh", "-c", hidden]);
    assert!(refused.starts_with("tracefs is not mounted at /sys/kernel/tracing"), "{refused}");
    let hidden = "mount -t tmpfs tmpfs /sys/kernel/btf; exec \"$0\" \"$@\"";
    let refused = said(&["unshare", "-m", "sh", "-c", hidden]);
    assert!(refused.starts_with("cannot read the kernel's type information"), "{refused}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn this_machine_is_fit() {
    drop(Sensor::start(&config()).unwrap());
    let facts = facts(Path::new("/"));
    for fact in &facts.facts {
        println!(
            "{:<14} {:<8} {:<22} {}",
            fact.name,
            format!("{:?}", fact.standing),
            fact.value,
            fact.sentence
        );
    }
    assert!(facts.standing() < outis_node::Standing::Missing);
    assert_eq!(facts.get("btf").unwrap().value, "present");
}
