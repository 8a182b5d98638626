//! Objects as they lie in the cluster, of whatever kinds are registered, with when each was last changed.
//!
//! The time of a change is what `metadata` tells, to the second: when the object was made, and when each manager of
//! its fields last wrote. A change that only took fields away from another manager leaves no time behind, and neither
//! do managers whose entries somebody cleared; status and scale are no business of a policy and do not count.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::discovery::{self, Scope, verbs};
use outis_model::Timestamp;
use serde_json::{Value, json};

use crate::registration::Rule;

/// Objects asked for at once.
const PAGE: u32 = 250;

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// The whole object, with `apiVersion` and `kind`; without managed fields.
    pub value: Value,
    /// When it was last changed, as far as it tells.
    pub changed: Timestamp,
}

/// The resources whose objects are judged when they are created or updated, and for groups that cannot be asked, why.
///
/// # Errors
/// The server does not say which groups it has.
pub async fn resources(
    client: &Client,
    rules: &BTreeSet<Rule>,
) -> Result<(Vec<ApiResource>, Vec<String>), kube::Error> {
    let stored = |rule: &&Rule| ["CREATE", "UPDATE"].iter().any(|one| rule.operations.contains(*one));
    let rules: Vec<&Rule> = rules.iter().filter(stored).collect();
    let mut groups: BTreeSet<String> = rules.iter().map(|rule| rule.group.clone()).collect();
    if groups.remove("*") {
        groups.insert(String::new());
        groups.extend(client.list_api_groups().await?.groups.into_iter().map(|group| group.name));
    }
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for name in groups {
        let group = match discovery::group(client, &name).await {
            Ok(group) => group,
            Err(error) => {
                silent.push(format!("API group {name:?}: {error}"));
                continue;
            }
        };
        let asked = group.recommended_resources().into_iter().filter(|(resource, capabilities)| {
            let cluster = capabilities.scope == Scope::Cluster;
            capabilities.supports_operation(verbs::LIST) && registered(&rules, resource, cluster)
        });
        found.extend(asked.map(|(resource, _)| resource));
    }
    Ok((found, silent))
}

/// Whether a rule is about a resource. A rule for objects in namespaces leaves out what lies in none.
fn registered(rules: &[&Rule], resource: &ApiResource, cluster: bool) -> bool {
    rules.iter().any(|rule| {
        (rule.group == "*" || rule.group == resource.group)
            && (rule.resources.contains("*") || rule.resources.contains(&resource.plural))
            && !(cluster && rule.namespaced)
    })
}

/// Some objects of a resource, and where the next ones begin. Those that are going are left out.
///
/// # Errors
/// The server's words.
pub async fn page(
    client: &Client,
    resource: &ApiResource,
    from: Option<&str>,
) -> Result<(Vec<Live>, Option<String>), kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut params = ListParams::default().limit(PAGE);
    params.continue_token = from.map(str::to_owned);
    let list = api.list(&params).await?;
    let next = list.metadata.continue_.filter(|token| !token.is_empty());
    Ok((list.items.into_iter().filter_map(|object| live(resource, object)).collect(), next))
}

/// One object; `None` when it is gone or going.
///
/// # Errors
/// The server's words.
pub async fn get(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Live>, kube::Error> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    Ok(api.get_opt(name).await?.and_then(|object| live(resource, object)))
}

fn live(resource: &ApiResource, object: DynamicObject) -> Option<Live> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut value = serde_json::to_value(object).ok()?;
    let changed = changed(&value["metadata"]);
    // The items of a list do not say what they are.
    value["apiVersion"] = json!(resource.api_version);
    value["kind"] = json!(resource.kind);
    value["metadata"].as_object_mut()?.remove("managedFields");
    Some(Live { value, changed })
}

/// When an object was last changed, by its metadata; one that tells nothing was changed long ago.
fn changed(metadata: &Value) -> Timestamp {
    let time = |text: &Value| text.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let entries = metadata["managedFields"].as_array().into_iter().flatten();
    // A pod gets its ephemeral containers through a subresource, and policies judge them.
    let whole = entries
        .filter(|entry| matches!(entry["subresource"].as_str(), None | Some("" | "ephemeralcontainers")));
    let times = whole.filter_map(|entry| time(&entry["time"]));
    times.chain(time(&metadata["creationTimestamp"])).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use kube::core::GroupVersionKind;

    use super::*;

    fn pods() -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods")
    }

    fn read(metadata: Value) -> Option<Live> {
        let object = serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": []}}));
        live(&pods(), object.expect("an object"))
    }

    #[test]
    fn an_object_of_a_list_is_told_what_it_is() {
        let found = read(json!({"name": "web", "creationTimestamp": "2026-01-01T00:00:05Z",
            "managedFields": [{"manager": "a", "time": "2026-01-01T00:00:07Z"}]}))
        .expect("there");
        assert_eq!((&found.value["apiVersion"], &found.value["kind"]), (&json!("v1"), &json!("Pod")));
        assert_eq!(found.value["metadata"]["managedFields"], Value::Null);
        assert_eq!(found.value["spec"], json!({"containers": []}));
        assert!(read(json!({"name": "web", "deletionTimestamp": "2026-01-01T00:00:05Z"})).is_none(), "going");
    }

    #[test]
    fn the_newest_writer_of_the_object_itself_tells_when_it_changed() {
        let made = "2026-01-01T00:00:05Z";
        let entry = |sub: &str, second: u8| json!({"manager": "m", "subresource": sub, "time": format!("2026-01-01T00:01:{second:02}Z")});
        let check = |fields: Value, expected: &str| {
            let metadata = json!({"creationTimestamp": made, "managedFields": fields});
            assert_eq!(changed(&metadata).to_string(), expected, "{metadata}");
        };
        check(json!([]), made);
        check(json!([entry("", 3), entry("", 2)]), "2026-01-01T00:01:03Z");
        check(json!([entry("status", 9), entry("scale", 8)]), made);
        check(json!([entry("status", 9), entry("ephemeralcontainers", 4)]), "2026-01-01T00:01:04Z");
        assert_eq!(changed(&Value::Null), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_is_registered_is_looked_at_and_nothing_else() {
        let rule = |group: &str, resource: &str, namespaced| Rule {
            failure: crate::registration::Failure::Ignore,
            group: group.into(),
            resources: BTreeSet::from([resource.to_owned()]),
            operations: BTreeSet::from(["CREATE".to_owned()]),
            namespaced,
        };
        let check = |rule: Rule, cluster| registered(&[&rule], &pods(), cluster);
        assert!(check(rule("", "pods", false), false));
        assert!(check(rule("*", "*", true), false));
        assert!(!check(rule("apps", "pods", false), false), "another group's");
        assert!(!check(rule("", "services", false), false));
        assert!(!check(rule("*", "*", true), true), "of no namespace");
        assert!(check(rule("*", "*", false), true));
    }
}
