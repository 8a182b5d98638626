//! What administrators wrote: read, judged, answered in the object's status; and the webhook's registration that
//! follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::watcher;
use outis_admission::{Fault, PolicySet};
use outis_api::{AdmissionPolicy, Outis};
use outis_cluster::registration::{Failure, NAME, Registration, SERVICE, Stance};
use outis_cluster::{Watched, watch, watch_with};
use outis_model::alert::Priority;
use outis_model::effect::{Condition, StatusPatch};
use outis_model::record::Subject;
use outis_model::{Input, Mode, PolicyName, RecordKind, Timestamp};
use serde_json::json;
use tokio::sync::watch as channel;

use super::house::House;
use super::registration::{self, Registered};
use super::unjudged::Unjudged;
use super::unjudged::sweep::Asked;
use super::{rules, serving, watchdog};
use crate::mode::record;
use crate::policies::{self, Written};

/// How often everything is looked at, changed or not.
const LOOK: Duration = Duration::from_secs(30);

/// The watches behind it.
pub(crate) struct Configuration {
    house: Arc<House>,
    policies: Watched<AdmissionPolicy>,
    settings: Watched<Outis>,
    slices: Watched<EndpointSlice>,
    rules: rules::Rules,
    unjudged: Unjudged,
    set: Arc<PolicySet>,
    /// The stance that was registered last.
    stance: Stance,
    last: Option<Vec<Written>>,
    /// Generation of each policy that was told in the log.
    told: BTreeMap<PolicyName, (i64, bool)>,
}

/// Watches the settings; the receiver holds the defaults until they are seen.
pub(crate) fn settings(client: &kube::Client) -> Watched<Outis> {
    let (watched, work) = watch(Api::<Outis>::all(client.clone()));
    tokio::spawn(work);
    watched
}

impl Configuration {
    /// Starts the watches.
    pub(crate) fn new(house: Arc<House>, settings: Watched<Outis>) -> Self {
        let client = house.client.clone();
        let (policies, work) = watch(Api::<AdmissionPolicy>::all(client.clone()));
        tokio::spawn(work);
        let of_webhook = watcher::Config::default().labels(&format!("kubernetes.io/service-name={SERVICE}"));
        let (slices, work) = watch_with(Api::namespaced(client.clone(), house.home.as_str()), of_webhook);
        tokio::spawn(work);
        let rules = rules::Rules::new(Arc::clone(&house));
        let unjudged = Unjudged::new(Arc::clone(&house));
        Self {
            house,
            policies,
            settings,
            slices,
            rules,
            unjudged,
            set: Arc::default(),
            stance: Stance::AsWritten,
            last: None,
            told: BTreeMap::new(),
        }
    }

    /// Keeps statuses and registration right, for ever.
    pub(crate) async fn run(mut self, spec: channel::Sender<outis_api::OutisSpec>) {
        let mut changes =
            [self.policies.changes(), self.settings.changes(), self.slices.changes(), self.rules.changes()];
        self.unjudged.recall().await;
        loop {
            if let Some(found) = self.settings.get(outis_api::outis::NAME) {
                spec.send_if_modified(|held| std::mem::replace(held, found.spec.clone()) != found.spec);
            }
            if let Err(error) = self.look().await {
                let why = crate::exit::chain(&error);
                tracing::warn!(error = why, "Configuration cannot be taken over");
                self.house.protection("configuration", false, why);
            }
            self.rules.look().await;
            let wait = self.wait(Timestamp::now());
            let any = futures::future::select_all(changes.iter_mut().map(|one| Box::pin(one.changed())));
            // Changes come in flocks; one look serves them all.
            tokio::select! {
                _ = any => tokio::time::sleep(Duration::from_millis(100)).await,
                () = self.unjudged.finished() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How long to wait for a change before everything is looked at anyway.
    fn wait(&self, now: Timestamp) -> Duration {
        let seconds = self.house.settings.borrow().admission.watchdog_seconds;
        let waits = [self.unjudged.wait(now), watchdog::wait(now, self.unjudged.away(), seconds)];
        waits.into_iter().flatten().fold(LOOK, Duration::min)
    }

    async fn look(&mut self) -> Result<()> {
        anyhow::ensure!(self.policies.state().synced, "the policies were not seen yet");
        // A webhook that was not seen yet is not one that is away.
        let slices = self.slices.state();
        anyhow::ensure!(slices.synced, "which webhooks are ready was not seen yet");
        let listed = self.policies.list();
        let written = listed.iter().map(|policy| policies::as_written((**policy).clone()));
        let written = written.collect::<Result<Vec<_>>>()?;
        let faults = self.compile(written.clone()).await?;
        // Nor is one that was away when we were cut off: an old view tells nothing of who is there now.
        if slices.stale.is_none() {
            self.unjudged.attend(!self.set.is_empty(), self.ready_webhooks(), Timestamp::now()).await;
        }
        let registered = self.register().await;
        self.answer(&written, &faults, &registered).await?;
        self.ready().await?;
        let registered = registered?;
        let note = match registered {
            Registered::Nothing => "no policy, so nothing is asked".to_owned(),
            Registered::Waiting => "no webhook is ready yet".to_owned(),
            Registered::Asked => {
                format!("{} policies, {} webhooks ready", self.set.len(), self.ready_webhooks())
            }
        };
        let active =
            registered == Registered::Nothing || registered == Registered::Asked && self.ready_webhooks() > 0;
        self.house.protection("admission", active, note);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        self.house.protection(
            "configuration",
            faults.is_empty(),
            match faults.is_empty() {
                true => "every policy is in force as written".into(),
                false => told.join("; "),
            },
        );
        Ok(())
    }

    fn ready_webhooks(&self) -> usize {
        registration::ready(&self.slices.list())
    }

    async fn compile(&mut self, written: Vec<Written>) -> Result<Vec<Fault>> {
        if self.last.as_ref() == Some(&written) {
            let set = PolicySet::compile_onto(&self.set, written);
            return Ok(set.1);
        }
        let old = Arc::clone(&self.set);
        self.last = Some(written.clone());
        let compiled = tokio::task::spawn_blocking(move || PolicySet::compile_onto(&old, written)).await;
        let (set, faults) = compiled.context("the thread that compiles policies ended")?;
        self.set = Arc::new(set);
        Ok(faults)
    }

    async fn register(&mut self) -> Result<Registered> {
        let (client, home) = (&self.house.client, &self.house.home);
        let bundle = serving::look(client, home, Timestamp::now()).await?;
        let home_uid = outis_cluster::install::home(client, home.as_str()).await.ok().flatten();
        let rules = registration::resolve(client, &outis_admission::rules(&self.set)).await?;
        let admission = self.house.settings.borrow().admission.clone();
        let (now, away) = (Timestamp::now(), self.unjudged.away());
        let was_open = self.stance == Stance::Open && admission.watchdog_seconds > 0;
        let settles = was_open && watchdog::settles(now, self.unjudged.returned());
        let wanted = Registration {
            home: home.clone(),
            home_uid,
            bundle: bundle.roots.clone(),
            excluded: admission.excluded_namespaces,
            rules,
            stance: if settles {
                Stance::Open
            } else {
                watchdog::stance(now, away, admission.watchdog_seconds)
            },
        };
        let registered = registration::register(client, &wanted, self.ready_webhooks()).await;
        let (registered, turned) = registered?;
        self.stance = wanted.stance;
        // The new root is believed by now: only then may the certificate under it be served.
        serving::write(client, home, &bundle).await?;
        let fails =
            registered == Registered::Asked && wanted.rules.iter().any(|rule| rule.failure == Failure::Fail);
        let seconds = if fails { admission.watchdog_seconds } else { 0 };
        self.watch_over(wanted.stance, turned, seconds);
        let (set, unasked) = (Arc::clone(&self.set), wanted.unasked());
        self.unjudged.look(&Asked { set, rules: wanted.rules, unasked }, now).await;
        Ok(registered)
    }

    /// Shows how the watchdog stands, and tells when it has turned.
    fn watch_over(&self, stance: Stance, turned: Option<Stance>, seconds: i64) {
        let away = self.unjudged.away();
        let shown = watchdog::protection(stance, away, seconds);
        let open = shown.as_ref().is_some_and(|shown| !shown.active);
        self.house.measure("outis_watchdog_open", u64::from(open));
        match shown {
            Some(shown) => self.house.protection(watchdog::NAME, shown.active, shown.note),
            None => self.house.unprotected(watchdog::NAME),
        }
        let Some(turned) = turned else { return };
        let subject = Subject {
            namespace: None,
            kind: "ValidatingWebhookConfiguration".into(),
            name: NAME.parse().ok(),
            node: None,
        };
        let mut record = record(Timestamp::now(), RecordKind::Configuration, "outis:controller", subject);
        record.summary = watchdog::told(turned, away);
        record.priority = if turned == Stance::Open { Priority::Warning } else { Priority::Notice };
        tracing::warn!(id = %record.id, summary = record.summary, "The watchdog has turned");
        self.house.count(&self.house.measures, "outis_watchdog_turns_total");
        self.house.tell(Input::Happened(record));
    }

    async fn answer(
        &mut self,
        written: &[Written],
        faults: &[Fault],
        registered: &Result<Registered>,
    ) -> Result<()> {
        let mut names = BTreeSet::new();
        for (name, generation, spec) in written {
            names.insert(name.clone());
            let fault = faults.iter().find(|fault| &fault.policy == name);
            // As it was written: what judges may still be an older version by another engine.
            let engine = spec.engine();
            let enforced = self.enforced(name, registered);
            let patch = StatusPatch {
                kind: "AdmissionPolicy".into(),
                namespace: None,
                name: name.as_str().parse().context("a policy's name")?,
                generation: *generation,
                conditions: vec![accepted(fault), enforced],
            };
            let more = engine.map(|engine| ("engine".to_owned(), json!(engine))).into_iter().collect();
            self.write(&patch, more).await?;
            self.tell("AdmissionPolicy", name, *generation, fault.map(ToString::to_string));
        }
        self.told.retain(|name, _| names.contains(name));
        Ok(())
    }

    fn enforced(&self, name: &PolicyName, registered: &Result<Registered>) -> Condition {
        let mode = self.set.get(name).map(|policy| policy.mode());
        let (holds, reason, text) = match (mode, registered) {
            (None, _) => (Some(false), "NotAccepted", "it cannot be used".to_owned()),
            (Some(Mode::Observe), _) => (Some(false), "ModeObserve", "it records and changes nothing".into()),
            (Some(Mode::Warn), _) => (Some(false), "ModeWarn", "it warns and refuses nothing".into()),
            (Some(Mode::Enforce), Ok(Registered::Asked)) if self.ready_webhooks() > 0 => {
                (Some(true), "Enforced", "requests that break it are refused".into())
            }
            (Some(Mode::Enforce), Ok(_)) => {
                (Some(false), "NoWebhook", "no webhook is ready to be asked".into())
            }
            (Some(Mode::Enforce), Err(error)) => (None, "NotRegistered", crate::exit::chain(error)),
        };
        Condition { kind: "Enforced", holds, reason: reason.into(), text }
    }

    async fn write(&self, patch: &StatusPatch, more: BTreeMap<String, serde_json::Value>) -> Result<()> {
        let written = outis_cluster::effects::status(&self.house.client, patch, more, Timestamp::now()).await;
        written.with_context(|| format!("cannot write the status of {} {}", patch.kind, patch.name))
    }

    /// A generation that was taken over or refused is in the log once.
    fn tell(&mut self, kind: &str, name: &PolicyName, generation: i64, fault: Option<String>) {
        let state = (generation, fault.is_none());
        if self.told.insert(name.clone(), state) == Some(state) {
            return;
        }
        self.house.tell(Input::Happened(taken_over(kind, name.as_str(), generation, fault)));
    }

    /// Whether the whole appliance is ready, on the settings object.
    async fn ready(&self) -> Result<()> {
        let Some(found) = self.settings.get(outis_api::outis::NAME) else { return Ok(()) };
        let faults = super::library::status(&self.house).faults();
        let (holds, reason, text) = match faults.is_empty() {
            true => (Some(true), "AllInForce", "every configured protection is in force".to_owned()),
            false => (Some(false), "NotInForce", faults.join("; ").chars().take(1000).collect()),
        };
        let patch = StatusPatch {
            kind: "Outis".into(),
            namespace: None,
            name: found.name_any().parse().context("the settings' name")?,
            generation: found.metadata.generation.unwrap_or(1),
            conditions: vec![
                Condition {
                    kind: "Accepted",
                    holds: Some(true),
                    reason: "TakenOver".into(),
                    text: "in force".into(),
                },
                Condition { kind: "Ready", holds, reason: reason.into(), text },
            ],
        };
        self.write(&patch, BTreeMap::new()).await
    }
}

/// The answer to an object that could, or could not, be read.
fn accepted(fault: Option<&Fault>) -> Condition {
    match fault {
        None => Condition {
            kind: "Accepted",
            holds: Some(true),
            reason: "Compiled".into(),
            text: "in force as written".into(),
        },
        Some(fault) => Condition {
            kind: "Accepted",
            holds: Some(false),
            reason: "CannotCompile".into(),
            text: fault.to_string().chars().take(1000).collect(),
        },
    }
}

/// A record that somebody's configuration was taken over, or not.
pub(crate) fn taken_over(
    kind: &str,
    name: &str,
    generation: i64,
    fault: Option<String>,
) -> outis_model::Record {
    let subject = Subject { namespace: None, kind: kind.into(), name: name.parse().ok(), node: None };
    let mut record = record(Timestamp::now(), RecordKind::Configuration, "outis:controller", subject);
    record.summary = match &fault {
        None => format!("{kind} {name} generation {generation} taken over"),
        Some(fault) => format!("{kind} {name} generation {generation} cannot be used: {fault}"),
    };
    if fault.is_some() {
        record.priority = Priority::Warning;
    }
    record
}
