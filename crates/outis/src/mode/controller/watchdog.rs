//! The watchdog over `failurePolicy: Fail`. Off unless the settings say after how many seconds: while no webhook is
//! ready, a policy that fails closed refuses everything it is about, and somebody may have to be able to repair the
//! cluster meanwhile. Pure: times are arguments.

use std::time::Duration;

use outis_cluster::registration::{FAIL, Stance};
use outis_model::Timestamp;
use outis_model::input::Protection;

use super::attendance::SETTLE;

/// Under which name `outis status` shows it.
pub(crate) const NAME: &str = "fail closed";

/// What `Fail` is to be now. `away` is since when nobody is ready, `seconds` the setting.
pub(crate) fn stance(now: Timestamp, away: Option<Timestamp>, seconds: i64) -> Stance {
    match left(now, away, seconds) {
        Some(0) => Stance::Open,
        _ => Stance::AsWritten,
    }
}

/// Whether one that was open stays so: a webhook is ready a moment before the API server finds the way to it, and until
/// then `Fail` would refuse what it need not. `returned` is when somebody was seen ready again.
pub(crate) fn settles(now: Timestamp, returned: Option<Timestamp>) -> bool {
    returned.is_some_and(|returned| (0..SETTLE).contains(&(now.as_second() - returned.as_second())))
}

/// When to look again at the latest; `None` when there is nothing to wait for.
pub(crate) fn wait(now: Timestamp, away: Option<Timestamp>, seconds: i64) -> Option<Duration> {
    let left = left(now, away, seconds).filter(|left| *left > 0)?;
    Some(Duration::from_secs(left.unsigned_abs()))
}

/// Seconds until it opens; `None` while it never will.
fn left(now: Timestamp, away: Option<Timestamp>, seconds: i64) -> Option<i64> {
    let away = away.filter(|_| seconds > 0)?;
    // A clock that was set back counts from anew.
    let waited = (now.as_second() - away.as_second()).max(0);
    Some((seconds - waited).max(0))
}

/// How it is shown while it is configured.
pub(crate) fn protection(stance: Stance, away: Option<Timestamp>, seconds: i64) -> Option<Protection> {
    let note = match (stance, away) {
        (Stance::Open, Some(since)) => opened(since),
        (Stance::Open, None) => format!("a webhook is ready again; {FAIL} is back at Fail within {SETTLE} s"),
        (Stance::AsWritten, _) => format!("Fail refuses without a webhook, for at most {seconds} s"),
    };
    (seconds > 0).then(|| Protection { name: NAME.into(), active: stance == Stance::AsWritten, note })
}

/// A turn, in a sentence for the log.
pub(crate) fn told(turned: Stance, away: Option<Timestamp>) -> String {
    match (turned, away) {
        (Stance::Open, Some(since)) => opened(since),
        (Stance::Open, None) => format!("{FAIL} is switched to Ignore"),
        (Stance::AsWritten, _) => {
            format!("{FAIL} is back at Fail: policies that fail closed refuse again without a webhook")
        }
    }
}

fn opened(since: Timestamp) -> String {
    format!(
        "no webhook is ready since {since}, so the watchdog has switched {FAIL} from Fail to Ignore: what policies with \
         failurePolicy Fail are about goes on unjudged until one is ready"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn it_opens_when_its_time_is_over_and_somebody_set_one() {
        use Stance::{AsWritten, Open};
        let rows = [
            // now, away since, seconds, stance, look again in
            (100, None, 30, AsWritten, None),
            (100, Some(100), 30, AsWritten, Some(30)),
            (129, Some(100), 30, AsWritten, Some(1)),
            (130, Some(100), 30, Open, None),
            (9_999, Some(100), 30, Open, None),
            (9_999, Some(100), 0, AsWritten, None),
            (9_999, Some(100), -5, AsWritten, None),
            (9_999, None, 0, AsWritten, None),
            (90, Some(100), 30, AsWritten, Some(30)),
        ];
        for (now, away, seconds, expected, again) in rows {
            let away = away.map(at);
            let row = format!("at {now}, away {away:?}, {seconds} s");
            assert_eq!(stance(at(now), away, seconds), expected, "{row}");
            assert_eq!(wait(at(now), away, seconds), again.map(Duration::from_secs), "{row}");
        }
    }

    #[test]
    fn one_that_was_open_closes_when_the_way_to_the_webhooks_is_found() {
        for (now, returned, open) in [
            (100, None, false),
            (100, Some(100), true),
            (109, Some(100), true),
            (110, Some(100), false),
            (99, Some(100), false),
        ] {
            assert_eq!(settles(at(now), returned.map(at)), open, "at {now}, returned {returned:?}");
        }
        let shown = protection(Stance::Open, None, 30).expect("set");
        assert!(!shown.active && shown.note.contains("ready again"), "{shown:?}");
    }

    #[test]
    fn it_is_shown_only_where_it_is_set_and_is_a_fault_while_it_is_open() {
        assert_eq!(protection(Stance::AsWritten, None, 0), None);
        let shown = protection(Stance::AsWritten, None, 30).expect("set");
        assert!(shown.active && shown.note.contains("at most 30 s"), "{shown:?}");
        let open = protection(Stance::Open, Some(at(0)), 30).expect("set");
        assert!(!open.active && open.note.contains("since 1970-01-01T00:00:00Z"), "{open:?}");
    }
}
