//! Everything of one kind, kept current.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as follow};
use serde::de::DeserializeOwned;
use tokio::sync::watch as channel;

use crate::anew::{anew, refused};

/// How a watch is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Rises with every change.
    pub version: u64,
    /// Whether the whole list was seen at least once.
    pub synced: bool,
    /// Why it is behind, when it is.
    pub stale: Option<String>,
    /// Whether it is behind because the API server says no to us, and not because it cannot be reached.
    pub refused: bool,
}

/// The objects as far as they are known.
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    state: channel::Receiver<State>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), state: self.state.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Watched<K> {
    /// All objects, in order of namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        let mut objects = self.store.state();
        objects.sort_by_cached_key(|object| (object.meta().namespace.clone(), object.meta().name.clone()));
        objects
    }

    /// One object of a cluster-scoped kind. `None` means absent only if the state is synced and not stale.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name))
    }

    /// How the watch is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// How the watch is, whenever that changes.
    #[must_use]
    pub fn changes(&self) -> channel::Receiver<State> {
        self.state.clone()
    }
}

/// Follows all objects of one kind. The future does the work and never ends; drop it to stop.
pub fn watch<K>(api: Api<K>) -> (Watched<K>, impl Future<Output = ()> + Send)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watch_with(api, watcher::Config::default())
}

/// Follows those objects of one kind that a label or field selector names.
pub fn watch_with<K>(api: Api<K>, config: watcher::Config) -> (Watched<K>, impl Future<Output = ()> + Send)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let events = move || {
        follow::watcher(api.clone(), config.clone()).modify(|object| {
            object.meta_mut().managed_fields = None;
        })
    };
    fold(events)
}

fn fold<K, S>(events: impl FnMut() -> S + Send) -> (Watched<K>, impl Future<Output = ()> + Send)
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    S: futures::Stream<Item = Result<Event<K>, watcher::Error>> + Send,
{
    let (store, mut writer) = reflector::store::<K>();
    let (sender, state) = channel::channel(State::default());
    let work = async move {
        let mut events = std::pin::pin!(anew(events));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    writer.apply_watcher_event(&event);
                    sender.send_modify(|state| took(state, &event));
                }
                Err(error) => {
                    tracing::warn!(%error, kind = %K::kind(&()), "Watch lost; trying again");
                    let refused = refused(&error);
                    sender.send_modify(|state| {
                        (state.stale, state.refused) = (Some(error.to_string()), refused);
                    });
                }
            }
        }
    };
    (Watched { store, state }, work)
}

fn took<K>(state: &mut State, event: &Event<K>) {
    // A list under way is not seen before it is whole.
    if matches!(event, Event::Init | Event::InitApply(_)) {
        return;
    }
    state.synced |= matches!(event, Event::InitDone);
    (state.stale, state.refused) = (None, false);
    state.version += 1;
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ObjectMeta;

    use super::*;

    fn namespace(name: &str) -> Namespace {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Namespace { metadata, ..Namespace::default() }
    }

    fn lost() -> watcher::Error {
        watcher::Error::NoResourceVersion
    }

    async fn after(events: Vec<Result<Event<Namespace>, watcher::Error>>) -> Watched<Namespace> {
        // A watch that begins anew goes on with what the one before left.
        let rest = Arc::new(std::sync::Mutex::new(events.into_iter()));
        let next = move || {
            let rest = Arc::clone(&rest);
            stream::iter(std::iter::from_fn(move || rest.lock().expect("whole").next())).boxed()
        };
        let (watched, work) = fold(next);
        work.await;
        watched
    }

    fn names(watched: &Watched<Namespace>) -> Vec<String> {
        watched.list().iter().filter_map(|object| object.metadata.name.clone()).collect()
    }

    #[tokio::test]
    async fn a_list_under_way_is_not_seen_before_it_is_whole() {
        let begun = after(vec![Ok(Event::Init), Ok(Event::InitApply(namespace("b")))]).await;
        assert_eq!((names(&begun).len(), begun.state().synced), (0, false));
        let whole = after(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(namespace("b"))),
            Ok(Event::InitApply(namespace("a"))),
            Ok(Event::InitDone),
            Ok(Event::Delete(namespace("b"))),
        ])
        .await;
        assert_eq!(names(&whole), ["a"]);
        assert_eq!(whole.state(), State { version: 2, synced: true, ..State::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_watch_keeps_what_it_knows_and_says_that_it_is_behind() {
        let events =
            vec![Ok(Event::Init), Ok(Event::InitApply(namespace("a"))), Ok(Event::InitDone), Err(lost())];
        let behind = after(events).await;
        assert_eq!(names(&behind), ["a"]);
        assert!(behind.state().stale.is_some() && behind.state().synced);
        let events =
            vec![Ok(Event::Init), Ok(Event::InitDone), Err(lost()), Ok(Event::Apply(namespace("b")))];
        assert_eq!(after(events).await.state().stale, None, "caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_no_is_told_apart_from_one_that_is_away() {
        let said = |code| {
            let status: kube::core::Status =
                serde_json::from_value(serde_json::json!({"status": "Failure", "code": code}))
                    .expect("a status");
            watcher::Error::WatchError(Box::new(status))
        };
        for (code, refused) in [(403, true), (401, true), (500, false), (410, false)] {
            let behind = after(vec![Ok(Event::Init), Ok(Event::InitDone), Err(said(code))]).await;
            assert_eq!(behind.state().refused, refused, "{code}");
        }
        assert!(!after(vec![Err(lost())]).await.state().refused);
        let back = after(vec![Err(said(403)), Ok(Event::Init), Ok(Event::InitDone)]).await;
        assert_eq!((back.state().refused, back.state().stale), (false, None), "let in again");
    }
}
