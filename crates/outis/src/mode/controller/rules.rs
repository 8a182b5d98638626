//! Detection rules: read and judged as the agents will, answered in the object's status.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::Api;
use outis_api::DetectionRules;
use outis_cluster::{State, Watched, watch};
use outis_detect::{Report, RuleState, lint};
use outis_model::effect::{Condition, StatusPatch};
use outis_model::{Input, Timestamp};
use serde_json::json;
use tokio::sync::watch as channel;

use super::configuration::taken_over;
use super::house::House;
use crate::rules::{self, Written};

/// The watch behind it.
pub(crate) struct Rules {
    house: Arc<House>,
    rules: Watched<DetectionRules>,
    /// Generation of each object that was told in the log, and whether it could be used.
    told: BTreeMap<String, (i64, bool)>,
}

impl Rules {
    /// Starts the watch.
    pub(crate) fn new(house: Arc<House>) -> Self {
        let (rules, work) = watch(Api::<DetectionRules>::all(house.client.clone()));
        tokio::spawn(work);
        Self { house, rules, told: BTreeMap::new() }
    }

    /// Whether there is something to look at.
    pub(crate) fn changes(&self) -> channel::Receiver<State> {
        self.rules.changes()
    }

    /// Answers every object.
    pub(crate) async fn look(&mut self) {
        if !self.rules.state().synced {
            return;
        }
        let written = rules::written(&self.rules.list());
        let asked = written.clone();
        let linted = tokio::task::spawn_blocking(move || {
            let (sources, options) = rules::sources(&asked);
            lint(&sources, &options)
        });
        let Ok(report) = linted.await else { return };
        let note = match report.faults.len() {
            0 => "every rule object is in force as written".to_owned(),
            count => format!("{count} faults; agents go on with the rules they had"),
        };
        self.house.protection("rules", report.faults.is_empty(), note);
        for object in &written {
            self.answer(object, &report).await;
        }
        self.told.retain(|name, _| written.iter().any(|(found, ..)| found == name));
    }

    async fn answer(&mut self, (name, generation, _): &Written, report: &Report) {
        let file = rules::file(name);
        let faults: Vec<String> =
            report.faults.iter().filter(|fault| fault.file == file).map(ToString::to_string).collect();
        let mine = || report.rules.iter().filter(|rule| rule.file == file);
        let active = mine().filter(|rule| rule.state == RuleState::Active).count();
        let waiting = mine().filter(|rule| matches!(rule.state, RuleState::NotActive { .. })).count();
        let condition = match (faults.is_empty(), report.faults.is_empty()) {
            (true, true) => {
                condition(true, "Compiled", format!("{active} rules active, {waiting} not active"))
            }
            (true, false) => condition(
                false,
                "OthersAtFault",
                "another object keeps all rules from being taken over".into(),
            ),
            (false, _) => condition(false, "CannotCompile", faults.join("; ").chars().take(1000).collect()),
        };
        let fault = (condition.holds != Some(true)).then(|| condition.text.clone());
        let Ok(subject) = name.parse() else { return };
        let patch = StatusPatch {
            kind: "DetectionRules".into(),
            namespace: None,
            name: subject,
            generation: *generation,
            conditions: vec![condition],
        };
        let more =
            BTreeMap::from([("loaded".to_owned(), json!(active)), ("notActive".to_owned(), json!(waiting))]);
        let status = outis_cluster::effects::status(&self.house.client, &patch, more, Timestamp::now());
        if let Err(error) = status.await {
            tracing::warn!(%error, name, "The status of detection rules cannot be written");
        }
        let state = (*generation, fault.is_none());
        if self.told.insert(name.clone(), state) != Some(state) {
            self.house.tell(Input::Happened(taken_over("DetectionRules", name, *generation, fault)));
        }
    }
}

fn condition(holds: bool, reason: &str, text: String) -> Condition {
    Condition { kind: "Accepted", holds: Some(holds), reason: reason.into(), text }
}
