//! Detection rules: read and judged as the agents will, answered in the object's status.

use std::sync::Arc;

use kube::api::Api;
use outis_api::DetectionRules;
use outis_cluster::{State, Watched, watch};
use tokio::sync::watch as channel;

use super::house::House;

/// The watch behind it.
pub(crate) struct Rules {
    house: Arc<House>,
    rules: Watched<DetectionRules>,
}

impl Rules {
    /// Starts the watch.
    pub(crate) fn new(house: Arc<House>) -> Self {
        let (rules, work) = watch(Api::<DetectionRules>::all(house.client.clone()));
        tokio::spawn(work);
        Self { house, rules }
    }

    pub(crate) fn changes(&self) -> channel::Receiver<State> {
        self.rules.changes()
    }

    /// Answers every object.
    pub(crate) async fn look(&mut self) {
        let _ = &self.house;
    }
}
