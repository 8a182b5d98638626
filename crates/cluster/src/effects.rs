//! What the appliance does to the cluster: Events people find with `kubectl describe`, and our objects' status.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as KubeCondition, ObjectMeta};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use outis_model::Timestamp;
use outis_model::alert::Priority;
use outis_model::effect::{Announcement, StatusPatch};
use serde_json::json;

use crate::apply::MANAGER;

/// Longest note of an Event the API server takes.
const NOTE: usize = 1024;

/// Creates a Kubernetes Event about an object, named after the record it tells of: made twice, it is one.
///
/// # Errors
/// The server's words.
pub async fn announce(
    client: &Client,
    home: &str,
    announcement: &Announcement,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let event = event(announcement, home, now);
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    match Api::<Event>::namespaced(client.clone(), &namespace).create(&PostParams::default(), &event).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        // The namespace is going or gone: so is whoever would have read it.
        Err(kube::Error::Api(status))
            if status.code == 404 || status.reason == "Forbidden" && going(&status.message) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn going(message: &str) -> bool {
    message.contains("being terminated")
}

/// Pure: the same announcement makes the same Event.
fn event(announcement: &Announcement, home: &str, now: Timestamp) -> Event {
    let subject = &announcement.subject;
    // An Event about an object of no namespace must lie in `default`.
    let namespace = subject.namespace.as_ref().map_or("default", |ns| ns.as_str());
    let warning = announcement.priority >= Priority::Warning;
    let fits = |bytes: &mut usize, c: char| {
        *bytes += c.len_utf8();
        (*bytes <= NOTE).then_some(c)
    };
    let text: String = announcement.text.chars().scan(0, fits).collect();
    let time = crate::time::seconds(now);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("outis.{}", announcement.record.to_string().to_lowercase())),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            kind: Some(subject.kind.clone()),
            namespace: subject.namespace.as_ref().map(ToString::to_string),
            name: subject.name.as_ref().map(ToString::to_string),
            api_version: Some(api_version(&subject.kind).into()),
            ..ObjectReference::default()
        },
        reason: Some(announcement.reason.clone()),
        message: Some(text),
        type_: Some(if warning { "Warning" } else { "Normal" }.into()),
        source: Some(EventSource { component: Some(format!("outis ({home})")), host: None }),
        reporting_component: Some("outis.dev/controller".into()),
        reporting_instance: Some(home.into()),
        action: Some(announcement.reason.clone()),
        count: Some(1),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        ..Event::default()
    }
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "AdmissionPolicy" | "DetectionRules" | "Outis" => "outis.dev/v1alpha1",
        _ => "v1",
    }
}

/// Which plural a kind of ours has.
fn resource(kind: &str) -> ApiResource {
    let plural = match kind {
        "AdmissionPolicy" => "admissionpolicies",
        "DetectionRules" => "detectionrules",
        _ => "outises",
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("outis.dev", "v1alpha1", kind), plural)
}

/// Writes conditions into the status of one of our objects. What does not change is not written; a condition's
/// transition time moves only when its state does.
///
/// # Errors
/// The server's words.
pub async fn status(
    client: &Client,
    patch: &StatusPatch,
    more: BTreeMap<String, serde_json::Value>,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(&patch.kind));
    let Some(found) = api.get_opt(patch.name.as_str()).await? else { return Ok(()) };
    let before = found.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut status = json!({"conditions": conditions(patch, &before, now)});
    for (key, value) in more {
        status[key] = value;
    }
    let same = status.as_object().into_iter().flatten().all(|(key, value)| before.get(key) == Some(value));
    if same {
        return Ok(());
    }
    let body = json!({"apiVersion": "outis.dev/v1alpha1", "kind": patch.kind,
        "metadata": {"name": found.name_any()}, "status": status});
    let params = PatchParams::apply(MANAGER).force();
    api.patch_status(patch.name.as_str(), &params, &Patch::Apply(&body)).await.map(drop)
}

fn conditions(patch: &StatusPatch, before: &serde_json::Value, now: Timestamp) -> serde_json::Value {
    let old: Vec<KubeCondition> =
        before.get("conditions").and_then(|old| serde_json::from_value(old.clone()).ok()).unwrap_or_default();
    let one = |condition: &outis_model::effect::Condition| {
        let status = match condition.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = old.iter().find(|old| old.type_ == condition.kind && old.status == status);
        KubeCondition {
            type_: condition.kind.into(),
            status: status.into(),
            reason: condition.reason.clone(),
            message: condition.text.clone(),
            observed_generation: Some(patch.generation),
            last_transition_time: same
                .map_or(crate::time::seconds(now), |old| old.last_transition_time.clone()),
        }
    };
    json!(patch.conditions.iter().map(one).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use outis_model::RecordId;
    use outis_model::effect::Condition;
    use outis_model::record::Subject;

    use super::*;

    fn announcement(text: &str, priority: Priority) -> Announcement {
        let subject = Subject {
            namespace: "shop".parse().ok(),
            kind: "Pod".into(),
            name: "web-1".parse().ok(),
            node: None,
        };
        let record = RecordId::new(Timestamp::UNIX_EPOCH, 7);
        Announcement { record, subject, reason: "Alert".into(), text: text.into(), priority }
    }

    #[test]
    fn an_event_lies_beside_its_object_and_is_named_after_its_record() {
        let told = announcement("a shell", Priority::Notice);
        let made = event(&told, "outis-system", Timestamp::UNIX_EPOCH);
        assert_eq!(made.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(made.metadata.name, Some(format!("outis.{}", told.record.to_string().to_lowercase())));
        assert_eq!(made.type_.as_deref(), Some("Normal"));
        assert_eq!(made.involved_object.name.as_deref(), Some("web-1"));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let made = event(&announcement(&"ü".repeat(900), Priority::Critical), "h", Timestamp::UNIX_EPOCH);
        assert_eq!(made.message.map(|text| text.len()), Some(NOTE));
        assert_eq!(made.type_.as_deref(), Some("Warning"));
    }

    #[test]
    fn a_transition_is_timed_when_the_state_changes_and_not_before() {
        let patch = |holds| StatusPatch {
            kind: "Outis".into(),
            namespace: None,
            name: "cluster".parse().expect("name"),
            generation: 2,
            conditions: vec![Condition { kind: "Ready", holds, reason: "R".into(), text: "t".into() }],
        };
        let at = |second| Timestamp::from_second(second).expect("time");
        let first = json!({"conditions": conditions(&patch(Some(true)), &json!({}), at(10))});
        let same = conditions(&patch(Some(true)), &first, at(20));
        assert_eq!(same[0]["lastTransitionTime"], "1970-01-01T00:00:10Z");
        let other = conditions(&patch(None), &first, at(20));
        assert_eq!(
            (&other[0]["lastTransitionTime"], &other[0]["status"]),
            (&json!("1970-01-01T00:00:20Z"), &json!("Unknown"))
        );
        assert_eq!(other[0]["observedGeneration"], 2);
    }
}
