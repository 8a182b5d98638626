//! Does what the owner decided. Appends are never left out; Events are, when there are too many, and are counted.

use std::sync::Arc;
use std::time::Duration;

use outis_model::effect::Announcement;
use outis_model::{Effect, Record, Timestamp};
use tokio::sync::mpsc;

use super::house::House;

/// Announcements that wait at most.
const WAITING: usize = 512;
/// Between two announcements: a storm of alerts must not become a storm on the API server.
const PACE: Duration = Duration::from_millis(50);

/// Starts the tasks that do it; gives the end where effects are put.
pub(crate) fn start(house: &Arc<House>) -> mpsc::Sender<Effect> {
    let (sender, receiver) = mpsc::channel(1024);
    let (announce, announcements) = mpsc::channel(WAITING);
    tokio::spawn(announcing(Arc::clone(house), announcements));
    tokio::spawn(doing(Arc::clone(house), receiver, announce));
    sender
}

async fn doing(house: Arc<House>, mut effects: mpsc::Receiver<Effect>, announce: mpsc::Sender<Announcement>) {
    let mut batch = Vec::new();
    while effects.recv_many(&mut batch, 256).await > 0 {
        let mut records = Vec::new();
        for effect in batch.drain(..) {
            match effect {
                Effect::Append(record) => records.push(record),
                Effect::Announce(announcement) => {
                    if announce.try_send(announcement).is_err() {
                        house.count(&house.dropped, "events");
                    }
                }
                // Statuses are written by who knows the object; resources and lines are not the owner's yet.
                Effect::Status(_) | Effect::Push { .. } | Effect::Emit(_) => {
                    house.count(&house.dropped, "effects")
                }
            }
        }
        append(&house, records).await;
    }
}

/// A disk that says no is asked again for a while; what then is still not kept is counted.
async fn append(house: &House, records: Vec<Record>) {
    if records.is_empty() {
        return;
    }
    for _ in 0..5 {
        match house.append(records.clone()).await {
            Ok(()) => return,
            Err(error) => {
                let why = crate::exit::chain(&error.into());
                tracing::error!(error = why, records = records.len(), "Records cannot be kept");
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for _ in records {
        house.count(&house.dropped, "records");
    }
}

async fn announcing(house: Arc<House>, mut announcements: mpsc::Receiver<Announcement>) {
    while let Some(announcement) = announcements.recv().await {
        let told = outis_cluster::effects::announce(
            &house.client,
            house.home.as_str(),
            &announcement,
            Timestamp::now(),
        );
        if let Err(error) = told.await {
            house.count(&house.dropped, "events");
            tracing::warn!(%error, subject = %announcement.subject, "An Event cannot be created");
        }
        tokio::time::sleep(PACE).await;
    }
}
