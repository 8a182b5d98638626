//! Both ends over real TLS sockets on loopback.

mod link {
    pub(crate) mod house;
    pub(crate) mod keys;
}

use std::sync::Arc;
use std::time::Duration;

use link::house::{House, agent, controller_at, eventually, outbox, report, uplink};
use link::keys::Keys;
use outis_model::effect::Resource;
use outis_model::input::Report;
use outis_model::port::{Refusal, SigningRequest};
use outis_model::secret::Secret;
use outis_wire::{Class, Entry, LinkState, MemorySpool, Signing, Spool, SpoolLimits, Why, enrol};

const WAIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reports_survive_a_controller_killed_again_and_again() {
    let keys = Keys::new();
    let mut house = House::open(&keys).await;
    let (outbox, spool) = outbox("s1", 100_000);
    let up = uplink(&keys, house.address(), agent(), outbox.clone());
    for round in 0..4u64 {
        for n in 0..250 {
            outbox.push(Class::Decision, &report(round * 250 + n)).await.expect("room");
            if n == 125 && round < 3 {
                house.restart().await;
            }
        }
    }
    eventually(WAIT, "1,000 stored and acknowledged", || {
        house.stored().len() == 1000 && spool.depth().0 == 0
    })
    .await;
    let numbers: Vec<u64> = house.stored().iter().map(|stored| stored.first).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    for (n, stored) in house.stored().iter().enumerate() {
        assert_eq!(stored.report, report(n as u64), "the report under its own number");
    }
    up.abort();
}

#[tokio::test(start_paused = true)]
async fn five_minutes_away_cost_exactly_what_the_spool_counted() {
    let keys = Keys::new();
    let house = House::closed(&keys).await;
    let (outbox, spool) = outbox("s1", 400);
    let up = uplink(&keys, house.address(), agent(), outbox.clone());
    let begin = tokio::time::Instant::now();
    let mut every = tokio::time::interval(Duration::from_millis(250));
    for n in 0..1201 {
        every.tick().await;
        outbox.push(Class::Decision, &report(n)).await.expect("within the bound");
        assert!(spool.depth().0 <= 400);
    }
    assert!(begin.elapsed() >= Duration::from_secs(300));
    let (kept, _, lost) = spool.depth();
    assert_eq!((kept, lost), (400, 801));
    tokio::time::resume();
    let mut house = house;
    house.restart().await;
    eventually(WAIT, "the spool is empty", || spool.depth().0 == 0).await;
    let mut next = 0;
    let mut missing = 0;
    for stored in house.stored() {
        assert_eq!(stored.first, next);
        next = stored.last + 1;
        match stored.report {
            Report::Lost { from, to, ref why } => {
                assert_eq!(why, "the spool was full");
                missing += to - from + 1;
            }
            _ => assert_eq!(stored.report, report(stored.first)),
        }
    }
    assert_eq!((next, missing), (1201, lost));
    up.abort();
}

#[tokio::test]
async fn resources_are_pushed_and_acknowledged_by_version() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let (outbox, _) = outbox("s1", 10);
    let up = uplink(&keys, house.address(), agent(), outbox);
    let resource = |version| Resource { name: "detection-rules".into(), version, body: vec![b'x'; 300_000] };
    house.push(vec![resource(1)]);
    eventually(WAIT, "version 1 in force", || house.acks().iter().any(|ack| ack.version == 1)).await;
    house.push(vec![resource(2), Resource { name: "bad".into(), version: 7, body: vec![] }]);
    eventually(WAIT, "both answered", || house.acks().len() == 3).await;
    let acks = house.acks();
    assert!(acks.iter().any(|ack| ack.name == "detection-rules" && ack.version == 2 && ack.error.is_none()));
    let bad = acks.iter().find(|ack| ack.name == "bad").expect("answered");
    assert_eq!(bad.error.as_deref(), Some("an empty body"));
    eventually(WAIT, "its health is known", || house.health().is_some()).await;
    up.abort();
}

#[tokio::test]
async fn a_foreign_and_a_missing_certificate_are_refused_by_name() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let foreign = keys.client_of_another_authority(&agent());
    let (one, _) = outbox("s1", 10);
    let up = link::house::uplink_with(controller_at(house.address(), foreign), agent(), one);
    eventually(WAIT, "foreign", || house.refused(Why::ForeignCertificate).is_some()).await;
    up.abort();

    let (two, _) = outbox("s2", 10);
    let bare = controller_at(house.address(), keys.stranger());
    let up = link::house::uplink_with(bare.clone(), agent(), two);
    eventually(WAIT, "no certificate", || house.refused(Why::NoCertificate).is_some()).await;
    up.abort();
    let signing = Signing::new(&bare).expect("address");
    let request = SigningRequest { pod_uid: "u1".parse().expect("uid"), csr: vec![1] };
    let refused = signing.sign(request).await.expect_err("no certificate");
    assert_eq!(refused, Refusal::Denied("this needs a client certificate; enrol first".into()));
    assert_eq!(house.stored(), []);
}

#[tokio::test]
async fn enrolment_needs_no_certificate_but_a_good_token() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let bare = controller_at(house.address(), keys.stranger());
    let got = enrol(&bare, Secret::new("good".into()), vec![1, 2]).await.expect("enrolled");
    assert_eq!(got.signed.chain, [vec![1, 2]]);
    let bad = enrol(&bare, Secret::new("replayed".into()), vec![1]).await.expect_err("refused").to_string();
    assert_eq!(bad, "this token was used before");
    assert_eq!(house.refused(Why::Enrolment).expect("told").text, "this token was used before");
    let big = enrol(&bare, Secret::new("x".repeat(17 << 10)), vec![]).await.expect_err("too big").to_string();
    assert!(big.contains("larger than 16384"), "{big}");
}

#[tokio::test]
async fn signing_uses_the_node_the_registry_knows() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let signing = Signing::new(&controller_at(house.address(), keys.client(&agent()))).expect("address");
    let request = |uid: &str| SigningRequest { pod_uid: uid.parse().expect("uid"), csr: vec![9] };
    let signed = signing.sign(request("here")).await.expect("signed");
    assert_eq!(signed.chain, [vec![9]]);
    let elsewhere = signing.sign(request("elsewhere")).await.expect_err("another node's pod");
    assert_eq!(elsewhere, Refusal::Denied("pod elsewhere is not on node n1".into()));
    assert!(house.refused(Why::Signing).is_some());
}

#[tokio::test]
async fn an_impostor_and_a_stale_spool_are_refused_by_name() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let (one, _) = outbox("s1", 10);
    let other = outis_model::input::Component { node: "n2".parse().expect("node"), ..agent() };
    let up = link::house::uplink_with(controller_at(house.address(), keys.client(&agent())), other, one);
    eventually(WAIT, "impostor", || house.refused(Why::Impostor).is_some()).await;
    up.abort();

    let (two, spool) = outbox("s2", 10);
    for n in 0..3 {
        two.push(Class::Decision, &report(n)).await.expect("room");
    }
    let up = uplink(&keys, house.address(), agent(), two);
    eventually(WAIT, "stored", || spool.depth().0 == 0).await;
    up.abort();
    // The same spool put back to its beginning.
    let (back, _) = outbox("s2", 10);
    let up = uplink(&keys, house.address(), agent(), back);
    eventually(WAIT, "stale", || house.refused(Why::Stale).is_some()).await;
    assert!(house.refused(Why::Stale).expect("told").text.contains("remove the spool's directory"));
    up.abort();
    assert_eq!(house.stored().len(), 3);
}

/// A spool that breaks its promises, as a tampered one would.
struct Broken(Vec<Entry>);

impl Spool for Broken {
    fn id(&self) -> String {
        "broken".into()
    }
    fn push(&self, _: Vec<(Class, Vec<u8>)>) -> Result<std::ops::Range<u64>, outis_wire::SpoolError> {
        Err(outis_wire::SpoolError("full of holes".into()))
    }
    fn peek(&self, from: u64, limit: usize, _: usize) -> Result<Vec<Entry>, outis_wire::SpoolError> {
        Ok(self.0.iter().filter(|entry| entry.last() >= from).take(limit).cloned().collect())
    }
    fn ack(&self, _: u64) -> Result<(), outis_wire::SpoolError> {
        Ok(())
    }
    fn next(&self) -> u64 {
        self.0.last().map_or(0, |entry| entry.last() + 1)
    }
}

fn row(seq: u64, bytes: Vec<u8>) -> Entry {
    Entry::Report { seq, class: Class::Decision, bytes }
}

#[tokio::test]
async fn an_undeclared_gap_is_refused_and_what_came_before_it_kept() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let json = |n| serde_json::to_vec(&report(n)).expect("json");
    let spool = Arc::new(Broken(vec![row(0, json(0)), row(1, json(1)), row(4, json(4))]));
    let up = uplink(&keys, house.address(), agent(), outis_wire::Outbox::new(spool));
    eventually(WAIT, "gap", || house.refused(Why::Gap).is_some()).await;
    let told = house.refused(Why::Gap).expect("told").text;
    assert_eq!(told, "report 4 came where 2 was due, and 2 to 3 were not declared lost");
    assert_eq!(house.stored().iter().map(|stored| stored.first).collect::<Vec<_>>(), [0, 1]);
    up.abort();
}

#[tokio::test]
async fn an_oversize_report_is_a_declared_loss_and_a_malformed_one_is_refused() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let spool = Arc::new(Broken(vec![row(0, vec![b' '; (256 << 10) + 1]), row(1, b"{".to_vec())]));
    let up = uplink(&keys, house.address(), agent(), outis_wire::Outbox::new(spool));
    eventually(WAIT, "malformed", || house.refused(Why::Malformed).is_some()).await;
    assert!(
        house.refused(Why::Malformed).expect("told").text.starts_with("report 1 is not a report in JSON")
    );
    let stored = house.stored();
    assert!(
        matches!(&stored[0].report, Report::Lost { from: 0, to: 0, why } if why.contains("262145")),
        "{stored:?}"
    );
    up.abort();
}

#[tokio::test]
async fn an_oversize_message_is_refused_by_name() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    link::house::send_raw(&keys, house.address(), vec![0; 1 << 20]).await;
    eventually(WAIT, "oversize", || house.refused(Why::Oversize).is_some()).await;
}

#[tokio::test]
async fn a_store_that_refuses_keeps_the_spool_full_and_the_link_says_why() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    house.break_store(true);
    let (outbox, spool) = outbox("s1", 10);
    outbox.push(Class::Detection, &report(0)).await.expect("room");
    let (up, state) = link::house::watched(&keys, house.address(), agent(), outbox);
    eventually(WAIT, "store", || house.refused(Why::Store).is_some()).await;
    eventually(
        WAIT,
        "the link says so",
        || matches!(&*state.borrow(), LinkState::Away { why, .. } if why.contains("the disk is full")),
    )
    .await;
    assert_eq!(spool.depth().0, 1);
    house.break_store(false);
    eventually(WAIT, "stored", || house.stored().len() == 1 && spool.depth().0 == 0).await;
    up.abort();
}

#[tokio::test]
async fn a_controller_with_an_empty_store_is_told_what_it_no_longer_has() {
    let keys = Keys::new();
    let mut house = House::open(&keys).await;
    let (outbox, spool) = outbox("s1", 10);
    for n in 0..5 {
        outbox.push(Class::Decision, &report(n)).await.expect("room");
    }
    let up = uplink(&keys, house.address(), agent(), outbox.clone());
    eventually(WAIT, "stored", || spool.depth().0 == 0).await;
    house.forget();
    house.restart().await;
    outbox.push(Class::Decision, &report(5)).await.expect("room");
    eventually(WAIT, "the sixth", || house.stored().len() == 2).await;
    let stored = house.stored();
    assert!(matches!(stored[0].report, Report::Lost { from: 0, to: 4, .. }), "{stored:?}");
    assert_eq!(stored[1].report, report(5));
    up.abort();
}

#[tokio::test]
async fn the_newest_connection_of_a_sender_has_the_seat() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let spool = Arc::new(MemorySpool::new("s1".into(), SpoolLimits::default()));
    let outbox = outis_wire::Outbox::new(spool.clone());
    let first = uplink(&keys, house.address(), agent(), outbox.clone());
    eventually(WAIT, "connected", || house.health().is_some()).await;
    let second = uplink(&keys, house.address(), agent(), outbox.clone());
    eventually(WAIT, "superseded", || house.refused(Why::Superseded).is_some()).await;
    first.abort();
    for n in 0..100 {
        outbox.push(Class::Decision, &report(n)).await.expect("room");
    }
    eventually(WAIT, "stored once", || spool.depth().0 == 0).await;
    assert_eq!(
        house.stored().iter().map(|stored| stored.first).collect::<Vec<_>>(),
        (0..100).collect::<Vec<_>>()
    );
    second.abort();
}

#[tokio::test]
async fn a_component_renews_what_it_shows_and_a_stranger_nothing() {
    let keys = Keys::new();
    let house = House::open(&keys).await;
    let signing = Signing::new(&controller_at(house.address(), keys.client(&agent()))).expect("address");
    let signed = signing.renew(vec![4, 2]).await.expect("renewed");
    assert_eq!(signed.id.to_string(), "spiffe://a.example/outis/agent/n1/outis-agent-1");
    assert_eq!(signed.chain, [vec![4, 2]]);
    let large = signing.renew(vec![0; outis_wire::MAX_CSR + 1]).await.expect_err("too large");
    assert!(matches!(large, Refusal::Invalid(_)), "{large:?}");
    let bare = Signing::new(&controller_at(house.address(), keys.stranger())).expect("address");
    let refused = bare.renew(vec![1]).await.expect_err("no certificate");
    assert!(matches!(&refused, Refusal::Denied(text) if text.contains("enrol first")), "{refused:?}");
}
