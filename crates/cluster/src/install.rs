//! The appliance put into a cluster, and taken out.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, ResourceExt};

use crate::apply::{Applier, ApplyError, Outcome, described};
use crate::diagnose::{PartState, Scene, parts};
use crate::manifests::{self, PART_OF, Plan};

/// How long the server takes over a definition.
const DEFINED: Duration = Duration::from_secs(30);

/// What an install did to each object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Objects by what became of them.
    pub created: Vec<String>,
    /// Those that were there and are different now.
    pub changed: Vec<String>,
    /// How many were as they should be.
    pub unchanged: usize,
}

impl Done {
    fn note(&mut self, object: &DynamicObject, outcome: Outcome) {
        match outcome {
            Outcome::Created => self.created.push(described(object)),
            Outcome::Changed => self.changed.push(described(object)),
            Outcome::Unchanged => self.unchanged += 1,
        }
    }
}

/// Puts everything there, in order. Does not wait for the parts; see `scene`.
///
/// # Errors
/// The first object the server did not take. What is there by then stays: installing again goes on.
pub async fn install(client: &Client, plan: &Plan, told: &dyn Fn(&str)) -> Result<Done, ApplyError> {
    let mut applier = Applier::new(client.clone());
    let mut done = Done::default();
    let mut plan = plan.clone();
    for object in manifests::namespace(&plan) {
        let (outcome, after) = applier.apply(&object).await?;
        plan.owner = after.metadata.uid;
        done.note(&object, outcome);
    }
    told("definitions");
    for object in manifests::definitions(&plan) {
        done.note(&object, applier.apply(&object).await?.0);
    }
    told("rights, services, volume claim");
    for object in manifests::ground(&plan) {
        done.note(&object, applier.apply(&object).await?.0);
    }
    told("settings");
    for object in manifests::settings(&plan) {
        settings(&mut applier, &object, &mut done).await?;
    }
    told("controller, agent, webhook");
    for object in manifests::parts(&plan) {
        done.note(&object, applier.apply(&object).await?.0);
    }
    Ok(done)
}

/// The settings are the user's: what is there stays as it is. A new definition is served after a moment.
async fn settings(applier: &mut Applier, object: &DynamicObject, done: &mut Done) -> Result<(), ApplyError> {
    let begun = tokio::time::Instant::now();
    loop {
        let found = match applier.api(object).await {
            Ok(api) => api.get_opt(&object.name_any()).await,
            Err(ApplyError::Kind(_)) if begun.elapsed() < DEFINED => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        match found {
            Ok(Some(_)) => done.note(object, Outcome::Unchanged),
            Ok(None) => match applier.apply(object).await {
                Ok((outcome, _)) => done.note(object, outcome),
                Err(ApplyError::Server { source, .. })
                    if matches!(&*source, kube::Error::Api(status) if status.code == 404)
                        && begun.elapsed() < DEFINED =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
            Err(kube::Error::Api(status)) if status.code == 404 && begun.elapsed() < DEFINED => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(error) => {
                return Err(ApplyError::Server {
                    doing: "read",
                    object: described(object),
                    source: Box::new(error),
                });
            }
        }
        return Ok(());
    }
}

/// Everything that tells how our parts are.
///
/// # Errors
/// The server's words.
pub async fn scene(client: &Client, namespace: &str) -> Result<Scene, kube::Error> {
    let ours = ListParams::default().labels(&format!("{PART_OF}=outis"));
    let deployments = in_namespace::<Deployment>(client, namespace).list(&ours).await?.items;
    let daemon_sets = in_namespace::<DaemonSet>(client, namespace).list(&ours).await?.items;
    let pods = in_namespace::<Pod>(client, namespace).list(&ours).await?.items;
    let claims = in_namespace::<PersistentVolumeClaim>(client, namespace).list(&ours).await?.items;
    let mut events =
        in_namespace::<Event>(client, namespace).list(&ListParams::default().limit(500)).await?.items;
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let mut said = BTreeMap::new();
    for pod in pods.iter().filter(|pod| runs_unready(pod)) {
        said.insert(pod.name_any(), missing(client, namespace, pod).await);
    }
    Ok(Scene { deployments, daemon_sets, pods, events, claims, said })
}

fn in_namespace<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

fn runs_unready(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .any(|status| !status.ready && status.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// What a pod's containers still wait for, asked through the API server.
async fn missing(client: &Client, namespace: &str, pod: &Pod) -> String {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.filter_map(|container| {
        container.readiness_probe.as_ref()?.http_get.as_ref().map(|probe| probe.port.clone())
    });
    let mut said = String::new();
    for port in ports {
        let IntOrString::Int(port) = port else { continue };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}:{port}/proxy/missing", pod.name_any());
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { continue };
        let asked = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
        said.extend(asked.ok().and_then(Result::ok));
    }
    said
}

/// How the parts are, asked now.
///
/// # Errors
/// The server's words.
pub async fn state(client: &Client, namespace: &str) -> Result<Vec<PartState>, kube::Error> {
    Ok(parts(&scene(client, namespace).await?))
}

/// The namespace's UID, if there is one.
///
/// # Errors
/// The server's words.
pub async fn home(client: &Client, namespace: &str) -> Result<Option<String>, kube::Error> {
    Ok(Api::<Namespace>::all(client.clone()).get_opt(namespace).await?.and_then(|found| found.metadata.uid))
}
