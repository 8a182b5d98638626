use outis_model::{Reason, Timestamp};

use super::*;

fn id() -> RecordId {
    RecordId::new(Timestamp::UNIX_EPOCH, 1)
}

fn finding(mode: Mode, text: &str) -> Finding {
    let reason = Reason::new("PodSecurity", text).by("pods/privileged").at("spec.a").fix("less");
    Finding { policy: "pods".parse().expect("a name"), mode, verdict: Verdict::Deny, reason }
}

#[test]
fn a_refusal_says_what_where_why_and_how_to_fix_and_ends_with_the_command() {
    let mut unknown = finding(Mode::Enforce, "no answer");
    unknown.verdict = Verdict::Unknown;
    let findings = vec![finding(Mode::Enforce, "too much"), finding(Mode::Warn, "unsaid"), unknown];
    let id = id();
    assert_eq!(
        refusal_text(&Ruling { findings, evaluated: 3 }, &id),
        format!(
            "[pods/privileged] spec.a: too much; to fix: less\n\
             could not judge: [pods/privileged] spec.a: no answer; to fix: less\n\
             decision {id}; for the reasons in full: outis why {id}"
        )
    );
}

#[test]
fn warnings_keep_to_the_limits_of_the_api() {
    assert!(warnings(&Ruling::default(), &id()).is_empty());
    for (count, length) in [(1, 10), (3, 1000), (400, 100), (64, 250), (5000, 1)] {
        let findings: Vec<_> = (0..count).map(|_| finding(Mode::Warn, &"ä".repeat(length))).collect();
        let texts = warnings(&Ruling { findings: findings.clone(), evaluated: 1 }, &id());
        assert!(texts.iter().all(|text| text.len() <= WARNING_CHARS), "{count} {length}");
        assert!(texts.iter().map(String::len).sum::<usize>() <= FALLBACK_BYTES, "{count} {length}");
        assert!(texts.last().is_some_and(|text| text.contains("outis why")), "{count} {length}");
        let shown = texts.len() - 1;
        let hidden = texts
            .iter()
            .rev()
            .nth(1)
            .and_then(|text| text.strip_prefix("and ")?.split(' ').next()?.parse::<usize>().ok());
        assert_eq!(hidden.map_or(shown, |hidden| shown - 1 + hidden), count, "{texts:?}");
        let enforced = findings.into_iter().map(|f| Finding { mode: Mode::Enforce, ..f }).collect();
        let text = refusal_text(&Ruling { findings: enforced, evaluated: 1 }, &id());
        assert!(
            text.len() <= FALLBACK_BYTES && text.contains("outis why"),
            "{count} {length}: {}",
            text.len()
        );
    }
}
