//! Ready means that the API server will believe us: our chain, under every bundle of the live registration. A replica
//! it does not believe answers nobody; one that said it was ready all the same would hide that.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::Api;
use kube::runtime::watcher;
use outis_cluster::registration::NAME;
use outis_cluster::{State, Watched, watch_with};
use outis_model::{Namespace, Timestamp};
use tokio::sync::watch as channel;

use crate::chain;

/// The live registration.
pub(super) struct Live {
    registered: Watched<ValidatingWebhookConfiguration>,
    changes: channel::Receiver<State>,
    home: Namespace,
}

impl Live {
    /// Watches it; the work goes on as long as the runtime does.
    pub(super) fn watch(client: &kube::Client, home: &Namespace) -> Self {
        // Our right is to this one object, and a list or watch must name it to be covered by that.
        let this = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let (registered, work) = watch_with(Api::all(client.clone()), this);
        tokio::spawn(work);
        let changes = registered.changes();
        Self { registered, changes, home: home.clone() }
    }

    /// Whether the API server will believe this chain, or why not.
    pub(super) fn believes(&self, chain: &[u8], now: Timestamp) -> Result<(), String> {
        let found = self.registered.get(NAME);
        believes(&self.registered.state(), found.as_deref(), chain, &self.home, now)
    }

    /// Waits until it may have changed.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Pure: over what was seen of the registration.
fn believes(
    state: &State,
    registered: Option<&ValidatingWebhookConfiguration>,
    chain: &[u8],
    home: &Namespace,
    now: Timestamp,
) -> Result<(), String> {
    // An API server that is only away has not changed its mind: what it registered last is what it will call by.
    if !state.synced || state.refused {
        let why = state.stale.as_deref().unwrap_or("the first look is under way");
        return Err(format!(
            "cannot read the ValidatingWebhookConfiguration {NAME}, so nobody knows whether the API server believes us: \
             {why}; ClusterRole outis-webhook must allow to get, list and watch it"
        ));
    }
    // Nobody is asked yet: the controller registers once a server is ready.
    let Some(registered) = registered else { return Ok(()) };
    chain::believed(registered, chain, home, now).map_err(|why| {
        format!(
            "the API server will not believe us: {why}; the controller registers the root of the Secret \
             outis-webhook-serving, which reaches this pod within two minutes"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::{home, made, now, registered};

    fn seen() -> State {
        State { version: 1, synced: true, ..State::default() }
    }

    fn away(state: State) -> State {
        State { stale: Some("connection refused".into()), ..state }
    }

    fn refused(state: State) -> State {
        State { refused: true, stale: Some("outises is forbidden".into()), ..state }
    }

    fn check(state: &State, bundle: Option<&str>, chain: &str) -> Result<(), String> {
        let one = bundle.map(|bundle| registered(&[Some(bundle)]));
        believes(state, one.as_ref(), chain.as_bytes(), &home(), now())
    }

    #[test]
    fn a_chain_under_the_live_bundle_is_ready_and_one_under_another_is_not() {
        let (ours, other) = (made(), made());
        assert_eq!(check(&seen(), Some(&ours.root), &ours.chain), Ok(()));
        let told = check(&seen(), Some(&other.root), &ours.chain).expect_err("a foreign root");
        assert!(
            told.starts_with("the API server will not believe us: under the caBundle of w0.outis.dev"),
            "{told}"
        );
        let both = format!("{}{}", other.root, ours.root);
        assert_eq!(
            check(&seen(), Some(&both), &ours.chain),
            Ok(()),
            "old and new at once, while it is renewed"
        );
    }

    #[test]
    fn with_nothing_registered_a_server_is_ready_so_that_it_can_be_registered() {
        assert_eq!(check(&seen(), None, &made().chain), Ok(()));
    }

    #[test]
    fn a_registration_that_was_never_read_is_not_one_that_believes() {
        let ours = made();
        let told = check(&State::default(), None, &ours.chain).expect_err("not seen");
        assert!(told.contains("the first look is under way"), "{told}");
        let told = check(&away(State::default()), None, &ours.chain).expect_err("not seen");
        assert!(told.contains("connection refused"), "{told}");
        let told = check(&refused(State::default()), None, &ours.chain).expect_err("not seen");
        assert!(told.contains("outises is forbidden; ClusterRole outis-webhook must allow"), "{told}");
    }

    #[test]
    fn an_api_server_that_is_only_away_leaves_a_believed_chain_ready() {
        let (ours, other) = (made(), made());
        assert_eq!(check(&away(seen()), Some(&ours.root), &ours.chain), Ok(()));
        assert!(
            check(&away(seen()), Some(&other.root), &ours.chain).is_err(),
            "nor does it mend one that was not"
        );
        assert!(
            check(&refused(seen()), Some(&ours.root), &ours.chain).is_err(),
            "a right taken away is no absence"
        );
    }
}
