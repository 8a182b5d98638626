//! Watches that begin anew after every error.
//!
//! A watch that goes on where it was says nothing until something changes. Whoever was cut off would not know whether
//! nothing has changed or nothing arrives, and would call its view old long after it is not. A list tells at once.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{DefaultBackoff, Error, Event};

/// How long a watch that was refused is left alone: whoever gives us the right back waits for it.
const REFUSED: Duration = Duration::from_secs(5);

struct Watch<F, S> {
    begin: F,
    events: Pin<Box<S>>,
    backoff: DefaultBackoff,
    pause: Option<Duration>,
}

/// Events of watches begun one after another; each error ends one. Ends only when a watch ends without an error.
pub(crate) fn anew<K, S>(
    mut begin: impl FnMut() -> S + Send,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send
where
    K: Send,
    S: Stream<Item = Result<Event<K>, Error>> + Send,
{
    let events = Box::pin(begin());
    let watch = Watch { begin, events, backoff: DefaultBackoff::default(), pause: None };
    stream::unfold(watch, |mut watch| async move {
        if let Some(pause) = watch.pause.take() {
            tokio::time::sleep(pause).await;
            watch.events = Box::pin((watch.begin)());
        }
        let event = watch.events.next().await?;
        match &event {
            // A list says nothing of whether watching works: where only that fails, lists must not follow one another.
            Ok(Event::Init | Event::InitApply(_) | Event::InitDone) => {}
            Ok(_) => watch.backoff.reset(),
            Err(error) => {
                let again = watch.backoff.next().unwrap_or(REFUSED);
                watch.pause = Some(if refused(error) { REFUSED } else { again });
            }
        }
        Some((event, watch))
    })
}

/// Whether we were told that we may not.
pub(crate) fn refused(error: &Error) -> bool {
    use Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let code = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.code,
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => 0,
    };
    matches!(code, 401 | 403)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_error_begins_a_new_watch_after_a_longer_while_until_a_change_is_told() {
        let lost = || Err(Error::NoResourceVersion);
        let mut watches = vec![
            vec![Ok(Event::Init), Ok(Event::InitDone), lost(), Ok(Event::Apply(1))],
            vec![Ok(Event::Init), lost()],
            vec![lost()],
            vec![Ok(Event::Init), Ok(Event::InitDone), Ok(Event::Apply(2)), lost()],
            vec![Ok(Event::Init), Ok(Event::InitDone)],
        ]
        .into_iter();
        let began = tokio::time::Instant::now();
        let events = anew::<i32, _>(move || stream::iter(watches.next().expect("no more")));
        let word = |event| match event {
            Ok(Event::Init) => "init",
            Ok(Event::InitDone) => "whole",
            Err(_) => "lost",
            Ok(Event::Apply(2)) => "change",
            Ok(_) => "of a watch that has ended",
        };
        let told: Vec<_> = events.map(|event| (word(event), began.elapsed())).collect().await;
        let words: Vec<_> = told.iter().map(|(word, _)| *word).collect();
        let expected = [
            "init", "whole", "lost", "init", "lost", "lost", "init", "whole", "change", "lost", "init",
            "whole",
        ];
        assert_eq!(words, expected);
        let waited = |index: usize| told[index].1 - told[index - 1].1;
        // Each is drawn between its bound and twice that.
        assert!(waited(3) >= Duration::from_millis(800), "{:?}", waited(3));
        assert!(waited(5) >= Duration::from_millis(1600), "{:?}", waited(5));
        assert!(waited(6) >= Duration::from_millis(3200), "{:?}", waited(6));
        assert!(waited(10) < Duration::from_millis(1600), "counts from anew: {:?}", waited(10));
    }
}
