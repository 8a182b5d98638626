use outis_model::review::Finding;
use outis_model::{Reason, Verdict};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn span() -> Span {
    Span { from: at(940), until: at(1100), sure: None }
}

fn found(number: usize, mode: Mode) -> Found {
    let reason = Reason::new("PolicyViolation", "no limit").by("limits");
    let finding = Finding {
        policy: "limits".parse().expect("name"),
        mode,
        verdict: Verdict::Deny,
        reason: reason.clone(),
    };
    Found {
        place: Place {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            kind: "Pod".into(),
            namespace: Some("shop".into()),
            name: format!("p{number}"),
            uid: format!("u{number}"),
        },
        changed: at(1000 + number as i64),
        decision: Decision {
            outcome: Ruling { findings: vec![finding.clone(), finding], evaluated: 3 },
            because: vec![reason],
        },
    }
}

fn swept(found: Vec<Found>, over: u64) -> Swept {
    Swept { span: span(), found, over, blind: vec![] }
}

fn enter(book: &mut Book, swept: Swept) -> Vec<Record> {
    let mut random = 0;
    book.enter(swept, at(2000), || {
        random += 1;
        RecordId::new(at(2000), random)
    })
}

#[test]
fn each_object_gets_a_record_with_its_reasons_and_stands_in_the_list_under_it() {
    let mut book = Book::default();
    let records = enter(&mut book, swept(vec![found(1, Mode::Enforce), found(0, Mode::Warn)], 0));
    let told: Vec<_> = records.iter().map(|record| (record.summary.as_str(), record.priority)).collect();
    assert_eq!(
        told,
        [
            ("admitted unjudged: Pod shop/p1, against limits", Priority::Warning),
            ("admitted unjudged: Pod shop/p0, against limits", Priority::Notice),
        ]
    );
    assert_eq!((records[0].verdict, records[0].mode), (Some(Verdict::Deny), Some(Mode::Enforce)));
    let kept = serde_json::to_string(&records).expect("JSON");
    assert!(kept.contains("no limit"), "{kept}");
    let shown = book.shown();
    let objects: Vec<_> = shown.objects.iter().map(|one| (one.object.as_str(), one.record)).collect();
    assert_eq!(objects, [("Pod shop/p0", records[1].id), ("Pod shop/p1", records[0].id)], "oldest first");
}

#[test]
fn what_is_gone_or_fine_leaves_the_list() {
    let mut book = Book::default();
    enter(&mut book, swept((0..3).map(|number| found(number, Mode::Enforce)).collect(), 0));
    book.strike(&BTreeSet::from(["u1".to_owned()]));
    let left: Vec<_> = book.shown().objects.into_iter().map(|one| one.object).collect();
    assert_eq!((left, book.shown().count), (vec!["Pod shop/p0".to_owned(), "Pod shop/p2".to_owned()], 2));
}

#[test]
fn what_does_not_fit_is_counted_told_once_and_listed_when_there_is_room() {
    let mut book = Book::default();
    let full = (0..MOST).map(|number| found(number, Mode::Enforce)).collect();
    let records = enter(&mut book, swept(full, 7));
    assert_eq!((records.len(), book.room(), book.shown().count), (MOST + 1, 0, MOST as u64 + 7));
    assert!(
        records[MOST].summary.starts_with("admitted unjudged: 7 more objects"),
        "{}",
        records[MOST].summary
    );
    assert_eq!(book.span(at(2000)), None, "no room");
    book.strike(&(0..7).map(|number| format!("u{number}")).collect());
    assert_eq!(book.span(at(2000)), Some(span()), "they fit now");
    let records = enter(&mut book, swept(vec![found(900, Mode::Enforce)], 6));
    assert_eq!(records.len(), 1, "how many there are beyond was told");
    enter(&mut book, swept(vec![], 0));
    assert_eq!((book.span(at(2000)), book.shown().count), (None, MOST as u64 - 6));
}

#[test]
fn a_stretch_that_was_judged_is_paid() {
    let mut book = Book::default();
    book.attendance.due = Some(span());
    assert_eq!(book.span(at(1105)), None, "not settled");
    assert_eq!(book.span(at(1110)), Some(span()));
    enter(&mut book, swept(vec![], 0));
    assert_eq!(book.span(at(1110)), None);
}

#[test]
fn it_reads_back_what_it_wrote_and_an_empty_store_is_an_empty_book() {
    let mut book = Book::default();
    enter(&mut book, swept(vec![found(1, Mode::Enforce)], 3));
    let bytes = serde_json::to_vec(&book).expect("JSON");
    assert_eq!(serde_json::from_slice::<Book>(&bytes).expect("read"), book);
    assert_eq!(serde_json::from_str::<Book>("{}").expect("read"), Book::default());
}

#[test]
fn what_did_not_fit_outlives_looks_over_other_stretches() {
    let mut book = Book::default();
    let rest = |book: &Book| book.rest.map(|rest| (rest.count, rest.span));
    enter(&mut book, swept(vec![], 3));
    let later = Span { from: at(50_000), until: at(60_000), sure: None };
    enter(&mut book, Swept { span: later, ..swept(vec![], 0) });
    assert_eq!(rest(&book), Some((3, span())), "nothing of it was looked at");
    enter(&mut book, Swept { span: later, ..swept(vec![], 2) });
    let both = Span { from: span().from, until: later.until, sure: span().sure };
    assert_eq!(rest(&book), Some((5, both)));
    enter(&mut book, Swept { span: both, ..swept(vec![], 0) });
    assert_eq!(rest(&book), None, "all of it was looked at, and fits");
}
