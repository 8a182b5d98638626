//! When webhooks were there to be asked, and the stretches of time nobody answers for. Pure: times are arguments; what
//! is remembered outlives a restart.

use outis_model::Timestamp;
use serde::{Deserialize, Serialize};

/// A webhook that is gone is seen to be gone only after its probe failed twice, or its node was missed: so long before
/// our own sight of it objects may have been admitted unjudged. In seconds.
const LEAD: i64 = 60;
/// How old a webhook's own count of what it left unjudged may be when we read it, in seconds.
const LAG: i64 = 5;
/// After a return the API server takes a moment to find the way. In seconds.
pub(crate) const SETTLE: i64 = 10;

/// What is remembered of the webhooks' presence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Attendance {
    /// The newest look.
    pub(crate) looked: Option<Timestamp>,
    /// Nobody is ready, as seen at the newest look.
    pub(crate) away: Option<Away>,
    /// What is still to be judged.
    pub(crate) due: Option<Span>,
}

/// Nobody is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Away {
    /// When somebody was seen ready for the last time.
    pub(crate) seen: Timestamp,
    /// Since when nobody was.
    pub(crate) since: Timestamp,
}

/// A stretch of time in which objects may have been admitted unjudged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// From when on that may be.
    pub(crate) from: Timestamp,
    /// Until when.
    pub(crate) until: Timestamp,
    /// The part of it in which surely nobody was ready.
    pub(crate) sure: Option<(Timestamp, Timestamp)>,
}

/// What is seen at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sight {
    /// Whether any policy relies on a webhook.
    pub(crate) relied: bool,
    /// Webhooks that are ready.
    pub(crate) ready: usize,
    /// Whether webhooks that are there left requests unanswered since the look before.
    pub(crate) missed: bool,
    /// Whether this is our first look since we started: what was in between we did not see.
    pub(crate) first: bool,
}

impl Attendance {
    /// Takes a look in.
    pub(crate) fn attend(&mut self, sight: Sight, now: Timestamp) {
        let before = self.looked.replace(now);
        let nobody = sight.relied && sight.ready == 0;
        match (self.away, nobody) {
            (None, true) => self.away = Some(Away { seen: before.unwrap_or(now).min(now), since: now }),
            (Some(_), true) => {}
            (Some(away), false) => {
                self.away = None;
                // Who came back while we were away ourselves came back at some time after our last look.
                let seen = before.filter(|_| sight.first).unwrap_or(now);
                let sure = Some((away.since, seen.max(away.since)));
                self.owe(Span { from: earlier(away.seen, LEAD), until: now, sure });
            }
            (None, false) => {
                let Some(before) = before.filter(|_| sight.first || sight.missed) else { return };
                let lead = if sight.missed { LAG } else { 0 };
                self.owe(Span { from: earlier(before, lead), until: now, sure: None });
            }
        }
    }

    /// What is to be judged now.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Span> {
        self.due.filter(|span| self.away.is_none() && now.as_second() >= span.until.as_second() + SETTLE)
    }

    /// A stretch was judged; what came to it meanwhile stays.
    pub(crate) fn paid(&mut self, span: Span) {
        if self.due == Some(span) {
            self.due = None;
        }
    }

    fn owe(&mut self, span: Span) {
        self.due = Some(match self.due {
            None => span,
            Some(old) => Span {
                from: old.from.min(span.from),
                until: old.until.max(span.until),
                sure: match (old.sure, span.sure) {
                    (Some(old), Some(new)) => Some((old.0.min(new.0), old.1.max(new.1))),
                    (old, new) => old.or(new),
                },
            },
        });
    }
}

impl Span {
    /// Whether an object that changed then, and that an enforcing policy refuses or not, came past us unjudged.
    ///
    /// What an enforcing policy refuses is not there unless nobody judged it, even where we are not sure that nobody
    /// was ready, and after the return. What policies only warn of is there either way: there we must be sure.
    pub(crate) fn covers(&self, changed: Timestamp, refused: bool) -> bool {
        // Objects tell their times to the second, cut off.
        let changed = changed.as_second();
        match refused {
            true => changed >= self.from.as_second(),
            false => self
                .sure
                .is_some_and(|(from, until)| (from.as_second()..=until.as_second()).contains(&changed)),
        }
    }
}

fn earlier(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second() - seconds).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn sight(ready: usize) -> Sight {
        Sight { relied: true, ready, ..Sight::default() }
    }

    /// From, until, and where it is sure.
    type Owed = (i64, i64, Option<(i64, i64)>);

    /// What is owed after looks of time and sight.
    fn after(looks: &[(i64, Sight)]) -> Option<Owed> {
        let mut attendance = Attendance::default();
        looks.iter().for_each(|(second, sight)| attendance.attend(*sight, at(*second)));
        let seconds = |(from, until): (Timestamp, Timestamp)| (from.as_second(), until.as_second());
        attendance.due.map(|due| (due.from.as_second(), due.until.as_second(), due.sure.map(seconds)))
    }

    #[test]
    fn an_absence_is_owed_at_its_end_from_well_before_it_was_seen() {
        assert_eq!(after(&[(1000, sight(2)), (1030, sight(0))]), None, "not before the return");
        let whole = [(1000, sight(2)), (1030, sight(0)), (1060, sight(0)), (1100, sight(1))];
        assert_eq!(after(&whole), Some((940, 1100, Some((1030, 1100)))));
        let twice = [&whole[..], &[(1110, sight(0)), (1130, sight(2))]].concat();
        assert_eq!(after(&twice), Some((940, 1130, Some((1030, 1130)))), "one stretch holds both");
    }

    #[test]
    fn presence_owes_nothing_and_neither_does_an_absence_nobody_relies_on() {
        assert_eq!(after(&[(1000, sight(2)), (1030, sight(1)), (1060, sight(2))]), None);
        let idle = Sight { relied: false, ..Sight::default() };
        assert_eq!(after(&[(1000, idle), (1030, idle), (1060, sight(2))]), None);
    }

    #[test]
    fn what_we_did_not_see_ourselves_is_owed_without_being_sure() {
        let first = |ready| Sight { first: true, ..sight(ready) };
        assert_eq!(after(&[(1000, first(2))]), None, "before the first start there was nothing");
        assert_eq!(after(&[(1000, sight(2)), (1500, first(2))]), Some((1000, 1500, None)));
        let away = [(1000, sight(2)), (1030, sight(0)), (1040, sight(0)), (1500, first(1))];
        assert_eq!(
            after(&away),
            Some((940, 1500, Some((1030, 1040)))),
            "back at some time after our last look"
        );
    }

    #[test]
    fn a_webhook_that_answered_nobody_is_as_good_as_away() {
        let missed = Sight { missed: true, ..sight(2) };
        assert_eq!(after(&[(1000, sight(2)), (1030, missed)]), Some((995, 1030, None)));
    }

    #[test]
    fn it_is_judged_a_moment_after_the_return_and_not_while_somebody_is_away_again() {
        let mut attendance = Attendance::default();
        for (second, ready) in [(1000, 2), (1030, 0), (1100, 1)] {
            attendance.attend(sight(ready), at(second));
        }
        assert_eq!(attendance.due(at(1109)), None);
        let due = attendance.due(at(1110)).expect("settled");
        attendance.attend(sight(0), at(1111));
        assert_eq!(attendance.due(at(1200)), None, "nobody to rely on");
        attendance.attend(sight(1), at(1200));
        attendance.paid(due);
        assert!(attendance.due(at(1210)).is_some(), "what came to it since is not paid");
        attendance.paid(attendance.due(at(1210)).expect("due"));
        assert_eq!(attendance.due, None);
    }

    #[test]
    fn what_is_refused_counts_from_the_first_doubt_on_and_what_is_warned_of_only_where_we_are_sure() {
        let span = Span { from: at(940), until: at(1100), sure: Some((at(1030), at(1100))) };
        for (second, refused, warned) in [
            (900, false, false),
            (940, true, false),
            (1030, true, true),
            (1100, true, true),
            (1105, true, false),
        ] {
            assert_eq!(span.covers(at(second), true), refused, "refused at {second}");
            assert_eq!(span.covers(at(second), false), warned, "warned of at {second}");
        }
        assert!(!Span { sure: None, ..span }.covers(at(1050), false));
    }

    #[test]
    fn it_reads_back_what_it_wrote() {
        let mut attendance = Attendance::default();
        for (second, ready) in [(1000, 2), (1030, 0), (1100, 1), (1130, 0)] {
            attendance.attend(sight(ready), at(second));
        }
        let text = serde_json::to_string(&attendance).expect("JSON");
        assert_eq!(serde_json::from_str::<Attendance>(&text).expect("read"), attendance);
    }
}
