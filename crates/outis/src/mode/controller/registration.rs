//! Which requests the API server asks the webhook about: what the policies need, once a webhook is ready.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use outis_admission::{RegistrationRule, Scope};
use outis_api::admission_policy::FailurePolicy;
use outis_cluster::apply::MANAGER;
use outis_cluster::registration::{
    Failure, NAME, Registration, Rule, Stance, configuration, resources_of, stance,
};

/// What became of the registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registered {
    /// There is nothing to ask: no policy.
    Nothing,
    /// No webhook is ready yet, and none ever was: registering it would only slow the API server down.
    Waiting,
    /// The API server asks us.
    Asked,
}

/// Whether a server stands behind the Service.
pub(crate) fn ready(slices: &[std::sync::Arc<EndpointSlice>]) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints
        .filter(|endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
        })
        .map(|endpoint| endpoint.addresses.len())
        .sum()
}

/// The rules as the API server writes them: kinds become the resources that carry them.
pub(crate) async fn resolve(client: &Client, rules: &BTreeSet<RegistrationRule>) -> Result<BTreeSet<Rule>> {
    let mut resolved = BTreeSet::new();
    for rule in rules {
        let groups = match rule.group.as_str() {
            "*" if rule.kind != "*" => groups_with(client, &rule.kind).await?,
            // A group that is not there has nothing to ask about; one that does not answer may not shrink what is
            // registered.
            group => vec![(group.to_owned(), served(client, group).await?.unwrap_or_default())],
        };
        for (group, served) in groups {
            resolved.insert(Rule {
                failure: match rule.failure_policy {
                    FailurePolicy::Ignore => Failure::Ignore,
                    FailurePolicy::Fail => Failure::Fail,
                },
                group,
                resources: resources_of(&rule.kind, &served),
                operations: rule.operations.iter().map(ToString::to_string).collect(),
                namespaced: rule.scope == Scope::Namespaced,
            });
        }
    }
    Ok(resolved)
}

type Served = Vec<(String, String)>;

/// Every group that serves a kind.
async fn groups_with(client: &Client, kind: &str) -> Result<Vec<(String, Served)>> {
    let names = client.list_api_groups().await.context("cannot list API groups")?.groups;
    let mut found = Vec::new();
    for group in std::iter::once(String::new()).chain(names.into_iter().map(|group| group.name)) {
        let served = match served(client, &group).await {
            Ok(Some(served)) => served,
            Ok(None) => continue,
            // An aggregated server that is away must not keep the others from being registered: while it is, nobody
            // creates its objects.
            Err(error) if !group.is_empty() && away(&error) => continue,
            Err(error) => return Err(error),
        };
        if served.iter().any(|(_, name)| name == kind) {
            found.push((group, served));
        }
    }
    Ok(found)
}

/// Whether the server behind the API server is what does not answer.
fn away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 503)
}

/// Resources with the kinds they carry, of a group's preferred version; none when there is no such group.
async fn served(client: &Client, group: &str) -> Result<Option<Served>> {
    let list = match group {
        "" => client.list_core_api_resources("v1").await,
        "*" => return Ok(Some(Served::new())),
        _ => {
            let groups = client.list_api_groups().await.context("cannot list API groups")?.groups;
            let Some(found) = groups.into_iter().find(|found| found.name == group) else { return Ok(None) };
            let preferred = found.preferred_version.or_else(|| found.versions.into_iter().next());
            let version = preferred.context("a group without a version")?.group_version;
            client.list_api_group_resources(&version).await
        }
    };
    let list = list.with_context(|| format!("cannot list resources of group {group:?}"))?;
    Ok(Some(list.resources.into_iter().map(|resource| (resource.name, resource.kind)).collect()))
}

/// Puts the registration in force, changes it, or takes it away. Says also which stance was taken up, when what is
/// there stood otherwise.
pub(crate) async fn register(
    client: &Client,
    registration: &Registration,
    ready: usize,
) -> Result<(Registered, Option<Stance>)> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let Some(wanted) = configuration(registration) else {
        return match api.delete(NAME, &DeleteParams::default()).await {
            Ok(_) => Ok((Registered::Nothing, None)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok((Registered::Nothing, None)),
            Err(error) => Err(error).context("cannot take the webhook's registration away"),
        };
    };
    let there = api.get_opt(NAME).await.context("cannot read the webhook's registration")?;
    if there.is_none() && ready == 0 {
        return Ok((Registered::Waiting, None));
    }
    let params = PatchParams::apply(MANAGER).force();
    let patched =
        api.patch(NAME, &params, &Patch::Apply(&wanted)).await.context("cannot register the webhook")?;
    // What the server held before and holds now, not what we remember: a controller that was restarted in between
    // neither misses a turn nor tells it twice.
    let before = there.as_ref().and_then(stance);
    let turned = stance(&patched).filter(|now| before.is_some_and(|before| before != *now));
    Ok((Registered::Asked, turned))
}
