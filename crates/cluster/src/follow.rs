//! Watches as inputs: what the API server says of one kind, in the words of the model.

use std::fmt::Debug;

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use outis_model::input::Change;
use outis_model::name::NameError;
use outis_model::snapshot::{Kind, Object};
use serde::de::DeserializeOwned;

use crate::anew::anew;

/// How a kind is read.
pub type Read<K> = fn(&K) -> Result<Object, NameError>;

/// Pods.
///
/// # Errors
/// A name that breaks its rule.
pub fn pod(pod: &k8s_openapi::api::core::v1::Pod) -> Result<Object, NameError> {
    outis_api::convert::pod(pod).map(Object::Pod)
}

/// Namespaces.
///
/// # Errors
/// A name that breaks its rule.
pub fn namespace(namespace: &k8s_openapi::api::core::v1::Namespace) -> Result<Object, NameError> {
    outis_api::convert::namespace(namespace).map(Object::Namespace)
}

/// Nodes.
///
/// # Errors
/// A name that breaks its rule.
pub fn node(node: &k8s_openapi::api::core::v1::Node) -> Result<Object, NameError> {
    outis_api::convert::node(node).map(Object::Node)
}

/// Follows one kind for ever. A list is told whole or not at all; a lost watch is told as stale, once.
pub fn changes<K>(
    api: Api<K>,
    config: watcher::Config,
    kind: Kind,
    read: Read<K>,
) -> impl Stream<Item = Change> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    fold(anew(move || watcher(api.clone(), config.clone())), kind, read)
}

fn fold<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
    kind: Kind,
    read: Read<K>,
) -> impl Stream<Item = Change> + Send
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let mut state = State { kind, listed: Vec::new(), stale: false };
    events.flat_map(move |event| stream::iter(state.take(event, read)))
}

struct State {
    kind: Kind,
    listed: Vec<Object>,
    stale: bool,
}

impl State {
    fn take<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Result<Event<K>, watcher::Error>,
        read: Read<K>,
    ) -> Vec<Change> {
        let sound = |object: &K| {
            read(object).inspect_err(|error| {
                tracing::warn!(%error, name = object.meta().name, "An object cannot be read; it is left out");
            })
        };
        let mut changes = Vec::new();
        match event {
            Err(error) => {
                tracing::warn!(%error, kind = ?self.kind, "Watch lost; trying again");
                if !std::mem::replace(&mut self.stale, true) {
                    changes.push(Change::Stale(self.kind, Some(Timestamp::now())));
                }
                return changes;
            }
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(object)) => self.listed.extend(sound(&object)),
            Ok(Event::InitDone) => changes.push(Change::Reset(self.kind, std::mem::take(&mut self.listed))),
            Ok(Event::Apply(object)) => changes.extend(sound(&object).map(Change::Applied)),
            Ok(Event::Delete(object)) => {
                changes.extend(sound(&object).map(|object| Change::Deleted(object.key())));
            }
        }
        if !changes.is_empty() && std::mem::replace(&mut self.stale, false) {
            changes.push(Change::Stale(self.kind, None));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ObjectMeta;

    use super::*;

    fn of(name: &str) -> Namespace {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Namespace { metadata, ..Namespace::default() }
    }

    async fn told(events: Vec<Result<Event<Namespace>, watcher::Error>>) -> Vec<String> {
        let changes = fold(stream::iter(events), Kind::Namespace, namespace).collect::<Vec<_>>().await;
        let word = |change: &Change| match change {
            Change::Applied(object) => format!("applied {:?}", object.key()),
            Change::Deleted(key) => format!("deleted {key:?}"),
            Change::Reset(_, objects) => format!("reset {}", objects.len()),
            Change::Stale(_, since) => format!("stale {}", since.is_some()),
        };
        changes.iter().map(word).collect()
    }

    #[tokio::test]
    async fn a_list_is_told_whole_or_not_at_all() {
        let begun = vec![Ok(Event::Init), Ok(Event::InitApply(of("a")))];
        assert_eq!(told(begun).await, Vec::<String>::new());
        let whole = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(of("a"))),
            Ok(Event::InitDone),
            Ok(Event::Delete(of("a"))),
        ];
        assert_eq!(told(whole).await, ["reset 1", "deleted Namespace(\"a\")"]);
    }

    #[tokio::test]
    async fn a_lost_watch_is_told_once_and_so_is_its_return() {
        let lost = || Err(watcher::Error::NoResourceVersion);
        let events = vec![lost(), lost(), Ok(Event::Apply(of("a"))), Ok(Event::Apply(of("a")))];
        let expected = ["stale true", "applied Namespace(\"a\")", "stale false", "applied Namespace(\"a\")"];
        assert_eq!(told(events).await, expected);
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(of("B A D"))),
            Ok(Event::InitApply(of("a"))),
            Ok(Event::InitDone),
        ];
        assert_eq!(told(events).await, ["reset 1"]);
    }
}
