//! The pods of our node, as the API server tells them; when it is away, as it last did.

use std::sync::Arc;

use futures::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::Config;
use outis_cluster::follow;
use outis_model::NodeName;
use outis_model::input::Change;
use outis_model::snapshot::{Kind, Snapshot};
use outis_server::health::Readiness;
use tokio::sync::watch;

/// Follows them for ever.
pub(super) fn follow(
    client: &Client,
    node: &NodeName,
    readiness: Readiness,
) -> watch::Receiver<Arc<Snapshot>> {
    let (sender, receiver) = watch::channel(Arc::new(Snapshot::default()));
    let of_node = Config::default().fields(&format!("spec.nodeName={node}"));
    let changes = follow::changes(Api::all(client.clone()), of_node, Kind::Pod, follow::pod);
    tokio::spawn(async move {
        let mut changes = std::pin::pin!(changes);
        let mut snapshot = Snapshot::default();
        while let Some(change) = changes.next().await {
            match change {
                Change::Applied(object) => snapshot.apply(object),
                Change::Deleted(key) => snapshot.delete(&key),
                Change::Reset(kind, objects) => {
                    snapshot.reset(kind, objects);
                    readiness.holds("pods");
                }
                // What we know goes on being used; the log says since when it is old.
                Change::Stale(_, Some(since)) => tracing::warn!(%since, "The view of our pods is behind"),
                Change::Stale(_, None) => tracing::info!("The view of our pods has caught up"),
            }
            sender.send_replace(Arc::new(snapshot.clone()));
        }
    });
    receiver
}
