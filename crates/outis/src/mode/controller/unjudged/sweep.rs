//! Judges what lies in the cluster by the policies in force, as `outis scan` would.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use outis_admission::scan::live_review;
use outis_admission::{Judge, Limits, PolicySet};
use outis_cluster::live::{self, Live};
use outis_cluster::registration::Rule;
use outis_model::review::Ruling;
use outis_model::{Decision, Mode};
use serde_json::Value;

use super::book::{Found, Place, Swept};
use crate::mode::controller::attendance::Span;
use crate::mode::ruling;

/// Objects that are named at most when no judge could say.
const BLIND: usize = 64;

/// By what is judged, and about what the webhook is asked.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) set: Arc<PolicySet>,
    pub(crate) rules: BTreeSet<Rule>,
    /// Namespaces it is never asked about.
    pub(crate) unasked: BTreeSet<String>,
}

/// What is to be looked at.
pub(super) struct Task {
    pub(super) client: Client,
    pub(super) asked: Asked,
    /// Objects that are listed.
    pub(super) listed: Vec<Place>,
    /// The stretch of time in which objects may have come past us.
    pub(super) span: Option<Span>,
    /// How many more can be listed.
    pub(super) room: usize,
}

/// What was seen.
pub(super) struct Done {
    /// Listed objects that are gone or that nothing speaks against any more.
    pub(super) struck: BTreeSet<String>,
    pub(super) swept: Option<Swept>,
}

/// Namespace objects by name.
type Namespaces = BTreeMap<String, Arc<Value>>;
/// An object, and what speaks against it if anything does; an error where the judge could not say.
type Judged = (Live, Result<Option<Decision<Ruling>>, String>);

/// Looks at listed objects again, and over the cluster for others.
pub(super) async fn work(task: Task) -> Result<Done> {
    let namespaces = namespaces(&task.client).await?;
    let struck = again(&task, &namespaces).await?;
    let swept = match task.span {
        Some(span) => Some(sweep(&task, span, &namespaces).await?),
        None => None,
    };
    Ok(Done { struck, swept })
}

async fn namespaces(client: &Client) -> Result<Namespaces> {
    let list = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await;
    let named = |namespace: Namespace| {
        let name = namespace.metadata.name.clone()?;
        Some((name, Arc::new(serde_json::to_value(namespace).ok()?)))
    };
    Ok(list.context("cannot list namespaces")?.items.into_iter().filter_map(named).collect())
}

async fn again(task: &Task, namespaces: &Namespaces) -> Result<BTreeSet<String>> {
    let (mut struck, mut there) = (BTreeSet::new(), Vec::new());
    for place in &task.listed {
        match live::get(&task.client, &place.resource(), place.namespace.as_deref(), &place.name).await {
            Ok(Some(live)) if live.value["metadata"]["uid"] == place.uid.as_str() => there.push(live),
            Ok(_) => drop(struck.insert(place.uid.clone())),
            // What we cannot see now is not gone.
            Err(error) => tracing::warn!(%error, kind = place.kind, name = place.name, "Cannot be read"),
        }
    }
    let judged = judge(&task.asked.set, there, namespaces).await?;
    let fine = judged.into_iter().filter(|(_, said)| said.as_ref().is_ok_and(Option::is_none));
    struck.extend(fine.filter_map(|(live, _)| Some(text(&live.value, "/metadata/uid")?.to_owned())));
    Ok(struck)
}

async fn sweep(task: &Task, span: Span, namespaces: &Namespaces) -> Result<Swept> {
    let resources = live::resources(&task.client, &task.asked.rules).await;
    let (resources, blind) = resources.context("cannot ask which resources there are")?;
    let known: BTreeSet<&str> = task.listed.iter().map(|place| place.uid.as_str()).collect();
    let mut swept = Swept { span, found: vec![], over: 0, blind };
    for resource in &resources {
        let mut from: Option<String> = None;
        loop {
            let page = live::page(&task.client, resource, from.as_deref()).await;
            let (objects, next) = match page {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if (401..=405).contains(&status.code) => {
                    swept.blind.push(hidden(resource, &status.message));
                    break;
                }
                // One kind whose server is away must not hide all others.
                Err(error) => {
                    swept.blind.push(format!("{}: cannot be listed: {error}", resource.plural));
                    break;
                }
            };
            let new = |live: &Live| {
                let uid = text(&live.value, "/metadata/uid").unwrap_or_default();
                span.covers(live.changed, true)
                    && !known.contains(uid)
                    && task.asked.asks(resource, &live.value)
            };
            let objects = objects.into_iter().filter(new).collect();
            for judged in judge(&task.asked.set, objects, namespaces).await? {
                take(&mut swept, resource, judged, task.room);
            }
            from = next;
            if from.is_none() {
                break;
            }
        }
    }
    Ok(swept)
}

fn hidden(resource: &ApiResource, why: &str) -> String {
    let (plural, group) = (&resource.plural, &resource.group);
    let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
    format!(
        "{name}: {why}; let a ClusterRole with the label outis.dev/aggregate-to-audit=true allow to get and list them"
    )
}

fn take(swept: &mut Swept, resource: &ApiResource, (live, said): Judged, room: usize) {
    let Some(place) = Place::of(resource, &live.value) else { return };
    let decision = match said {
        Ok(Some(decision)) => decision,
        Ok(None) => return,
        Err(why) if swept.blind.len() < BLIND => {
            return swept.blind.push(format!("{} {}: {why}", place.kind, place.name));
        }
        Err(_) => return,
    };
    if !swept.span.covers(live.changed, decision.outcome.refuses()) {
        return;
    }
    match swept.found.len() < room {
        true => swept.found.push(Found { place, changed: live.changed, decision }),
        false => swept.over += 1,
    }
}

/// Judges on a thread that may take its time.
async fn judge(set: &Arc<PolicySet>, objects: Vec<Live>, namespaces: &Namespaces) -> Result<Vec<Judged>> {
    let home = |live: &Live| {
        let name = text(&live.value, "/metadata/namespace").unwrap_or_default();
        namespaces.get(name).cloned().unwrap_or_default()
    };
    let objects: Vec<(Arc<Value>, Live)> = objects.into_iter().map(|live| (home(&live), live)).collect();
    let set = Arc::clone(set);
    let judging = tokio::task::spawn_blocking(move || {
        let mut judge = Judge::new(&set);
        let mut one = |(namespace, live): (Arc<Value>, Live)| {
            // One object on which a judge trips must not hide the others.
            let said = catch_unwind(AssertUnwindSafe(|| against(&mut judge, &live.value, namespace)));
            let said = said.map_err(|_| {
                judge = Judge::new(&set);
                "the judge ended over it".to_owned()
            });
            (live, said)
        };
        objects.into_iter().map(&mut one).collect()
    });
    judging.await.context("the thread that judges ended")
}

/// What speaks against an object, but for policies that only observe.
fn against(judge: &mut Judge, object: &Value, namespace: Arc<Value>) -> Option<Decision<Ruling>> {
    let review = live_review(object, namespace).ok()?;
    let mut decision = ruling::discreet(&review, judge.review(&review, Limits::default()));
    let findings = &mut decision.outcome.findings;
    findings.retain(|finding| finding.mode > Mode::Observe);
    // Reasons stand in the order of their modes, observers last.
    let left = findings.len();
    decision.because.truncate(left);
    (left > 0).then_some(decision)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

impl Asked {
    /// Whether the webhook would have been asked about an object, by its namespace.
    fn asks(&self, resource: &ApiResource, object: &Value) -> bool {
        let itself = resource.group.is_empty() && resource.kind == "Namespace";
        let pointer = if itself { "/metadata/name" } else { "/metadata/namespace" };
        text(object, pointer).is_none_or(|namespace| !self.unasked.contains(namespace))
    }
}

impl Place {
    fn of(resource: &ApiResource, object: &Value) -> Option<Self> {
        Some(Self {
            group: resource.group.clone(),
            version: resource.version.clone(),
            plural: resource.plural.clone(),
            kind: resource.kind.clone(),
            namespace: text(object, "/metadata/namespace").map(str::to_owned),
            name: text(object, "/metadata/name")?.to_owned(),
            uid: text(object, "/metadata/uid")?.to_owned(),
        })
    }

    fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(&self.group, &self.version, &self.kind);
        ApiResource::from_gvk_with_plural(&gvk, &self.plural)
    }
}

#[cfg(test)]
mod tests {
    use outis_model::Timestamp;
    use serde_json::json;

    use super::*;

    fn set(policies: &[(&str, &str)]) -> Arc<PolicySet> {
        let written = policies.iter().map(|(name, mode)| {
            let spec = json!({"mode": mode, "podSecurity": {"level": "baseline"},
                "match": {"namespaceSelector": {"matchLabels": {"tier": "a"}}}});
            (name.parse().expect("name"), 1, serde_json::from_value(spec).expect("a policy"))
        });
        let (set, faults) = PolicySet::compile(written);
        assert!(faults.is_empty(), "{faults:?}");
        Arc::new(set)
    }

    fn pod(name: &str, privileged: bool, second: i64) -> Live {
        let value = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {"hostNetwork": privileged, "containers": []}});
        Live { value, changed: Timestamp::from_second(second).expect("in range") }
    }

    fn pods() -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods")
    }

    fn shop() -> Namespaces {
        let labelled = json!({"metadata": {"name": "shop", "labels": {"tier": "a"}}});
        Namespaces::from([("shop".to_owned(), Arc::new(labelled))])
    }

    /// Who is found of pods that changed at second 100, by policies of these modes.
    async fn found(modes: &[(&str, &str)], pods: Vec<Live>, room: usize) -> (Vec<String>, u64) {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let span = Span { from: at(50), until: at(200), sure: Some((at(90), at(200))) };
        let mut swept = Swept { span, found: vec![], over: 0, blind: vec![] };
        for judged in judge(&set(modes), pods, &shop()).await.expect("judged") {
            take(&mut swept, &self::pods(), judged, room);
        }
        assert_eq!(swept.blind, Vec::<String>::new());
        (swept.found.into_iter().map(|found| found.place.name).collect(), swept.over)
    }

    #[tokio::test]
    async fn what_a_policy_speaks_against_is_found_and_what_it_likes_is_not() {
        let pods = vec![pod("bad", true, 100), pod("good", false, 100)];
        assert_eq!(found(&[("a", "enforce")], pods, 10).await, (vec!["bad".to_owned()], 0));
    }

    #[tokio::test]
    async fn a_policy_that_only_observes_finds_nothing_and_gives_no_reasons() {
        assert!(found(&[("a", "observe")], vec![pod("bad", true, 100)], 10).await.0.is_empty());
        let set = set(&[("a", "observe"), ("b", "warn")]);
        let judged = judge(&set, vec![pod("bad", true, 100)], &shop()).await.expect("judged");
        let decision = judged[0].1.as_ref().expect("said").as_ref().expect("against");
        let sources: Vec<_> = decision.because.iter().filter_map(|reason| reason.source.clone()).collect();
        assert_eq!(sources, ["b/hostNamespaces"], "{decision:?}");
    }

    #[tokio::test]
    async fn what_is_only_warned_of_counts_where_nobody_was_there_for_sure() {
        let pods = || vec![pod("doubtful", true, 60), pod("sure", true, 100)];
        assert_eq!(found(&[("a", "warn")], pods(), 10).await.0, ["sure"]);
        assert_eq!(found(&[("a", "enforce")], pods(), 10).await.0, ["doubtful", "sure"]);
    }

    #[tokio::test]
    async fn beyond_the_room_they_are_counted() {
        let pods = (0..5).map(|number| pod(&format!("bad-{number}"), true, 100)).collect();
        let (names, over) = found(&[("a", "enforce")], pods, 2).await;
        assert_eq!((names.len(), over), (2, 3));
    }

    #[test]
    fn namespaces_nobody_is_asked_about_are_left_out_and_so_are_their_own_objects() {
        let unasked = BTreeSet::from(["kube-system".to_owned()]);
        let asked = Asked { set: Arc::default(), rules: BTreeSet::new(), unasked };
        let namespaces =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Namespace"), "namespaces");
        let within = |namespace: &str| json!({"metadata": {"name": "x", "namespace": namespace}});
        assert!(!asked.asks(&pods(), &within("kube-system")));
        assert!(asked.asks(&pods(), &within("shop")));
        assert!(!asked.asks(&namespaces, &json!({"metadata": {"name": "kube-system"}})));
        assert!(asked.asks(&namespaces, &json!({"metadata": {"name": "shop"}})));
        let node = json!({"metadata": {"name": "kube-system"}});
        assert!(asked.asks(&pods(), &node), "of no namespace");
    }
}
