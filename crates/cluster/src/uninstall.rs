//! Taking everything out again: first what could stand in the way of others.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::apply::{Applier, ApplyError, described};
use crate::manifests::{self, HOME, Plan};
use crate::registration;

/// How long pods may take to end.
const ENDING: Duration = Duration::from_secs(120);

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything that runs; definitions, settings and the store's volume stay.
    Parts,
    /// Everything, also what users wrote under our definitions, and our files on the nodes.
    Purge,
}

/// Pods of others that mount our volume. Without the driver kubelet cannot take their volumes down, and they never
/// end.
///
/// # Errors
/// The server's words.
pub async fn mounting(client: &Client, home: &str) -> Result<Vec<String>, kube::Error> {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::all(client.clone());
    let pods = pods.list(&kube::api::ListParams::default()).await?;
    let ours = |pod: &&k8s_openapi::api::core::v1::Pod| {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut drivers = volumes.filter_map(|volume| volume.csi.as_ref()).map(|csi| csi.driver.as_str());
        // A pod that was never given to a node has nothing to take down.
        let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        placed && drivers.any(|driver| driver == "csi.outis.dev") && pod.namespace().as_deref() != Some(home)
    };
    let name = |pod: &k8s_openapi::api::core::v1::Pod| {
        format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
    };
    Ok(pods.items.iter().filter(ours).map(name).collect())
}

/// Takes the appliance out. `told` hears of each step.
///
/// # Errors
/// The first object the server would not let go. Doing it again goes on.
pub async fn uninstall(
    client: &Client,
    plan: &Plan,
    depth: Depth,
    told: &dyn Fn(&str),
) -> Result<Vec<String>, ApplyError> {
    let mut applier = Applier::new(client.clone());
    let mut gone = Vec::new();
    told("webhook registration");
    for object in registrations(client, plan).await {
        remove(&mut applier, &object, &mut gone).await?;
    }
    told("controller, agent, webhook");
    let parts = manifests::parts(plan);
    for object in &parts {
        remove(&mut applier, object, &mut gone).await?;
    }
    for object in &parts {
        applier.gone(object, ENDING).await?;
    }
    pods_gone(client, plan).await?;
    if depth == Depth::Purge {
        told("files on the nodes");
        clean_nodes(client, &mut applier, plan).await?;
    }
    told("rights and services");
    let keep_claim = depth == Depth::Parts;
    for object in manifests::ground(plan).into_iter().rev() {
        let claim = object.types.as_ref().is_some_and(|types| types.kind == "PersistentVolumeClaim");
        if !(claim && keep_claim) {
            remove(&mut applier, &object, &mut gone).await?;
        }
    }
    if depth == Depth::Purge {
        told("what people asked with, and Events");
        traces(client).await?;
        told("definitions and namespace");
        for object in manifests::definitions(plan).into_iter().chain(manifests::namespace(plan)) {
            remove(&mut applier, &object, &mut gone).await?;
            applier.gone(&object, ENDING).await?;
        }
    }
    Ok(gone)
}

async fn remove(
    applier: &mut Applier,
    object: &DynamicObject,
    gone: &mut Vec<String>,
) -> Result<(), ApplyError> {
    if applier.delete(object).await? {
        gone.push(described(object));
    }
    Ok(())
}

/// The registration, if it is ours: another namespace's is not.
async fn registrations(client: &Client, plan: &Plan) -> Vec<DynamicObject> {
    let api = Api::<k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration>::all(
        client.clone(),
    );
    let found = api.get_opt(registration::NAME).await.ok().flatten();
    let ours = found
        .filter(|found| found.annotations().get(HOME).is_none_or(|home| home == plan.namespace.as_str()));
    ours.map(|_| {
        serde_json::from_value(json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration", "metadata": {"name": registration::NAME}}))
        .expect("a kind and a name")
    })
    .into_iter()
    .collect()
}

/// A deleted workload's pods still run for a moment: an agent that still writes would bring its files back.
async fn pods_gone(client: &Client, plan: &Plan) -> Result<(), ApplyError> {
    let api = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(client.clone(), plan.namespace.as_str());
    let ours = kube::api::ListParams::default().labels(&format!("{}=outis", manifests::PART_OF));
    let begun = tokio::time::Instant::now();
    loop {
        match api.list(&ours).await {
            Ok(list) if list.items.is_empty() => return Ok(()),
            Ok(list) if begun.elapsed() > ENDING => {
                let names: Vec<String> = list.items.iter().map(ResourceExt::name_any).collect();
                let object = format!("pods {}", names.join(", "));
                return Err(ApplyError::Late { object, what: "are not gone", waited: ENDING });
            }
            Ok(_) => {}
            Err(error) => {
                let source = Box::new(error);
                return Err(ApplyError::Server { doing: "list", object: "our pods".into(), source });
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Requests that proved who asked, and the Events we made: the cluster would forget them in a day.
async fn traces(client: &Client) -> Result<(), ApplyError> {
    use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
    use k8s_openapi::api::core::v1::Event;
    use kube::api::{DeleteParams, ListParams};
    let failed = |object: &str, error| ApplyError::Server {
        doing: "delete",
        object: object.into(),
        source: Box::new(error),
    };
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{}=outis", manifests::PART_OF));
    let done = requests.delete_collection(&DeleteParams::default(), &ours).await;
    done.map_err(|error| failed("certificate signing requests", error))?;
    let events: Api<Event> = Api::all(client.clone());
    let ours = ListParams::default().fields("reportingComponent=outis.dev/controller");
    let listed = events.list(&ours).await.map_err(|error| failed("Events", error))?;
    for event in listed.items {
        let in_namespace: Api<Event> =
            Api::namespaced(client.clone(), &event.namespace().unwrap_or_default());
        match in_namespace.delete(&event.name_any(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(failed("Events", error)),
        }
    }
    Ok(())
}

/// Runs a pod on each node that removes our directories, waits until each says that it is done, removes it. Where
/// somebody deleted the namespace our definitions tell that we were there, and the namespace comes back for it.
async fn clean_nodes(client: &Client, applier: &mut Applier, plan: &Plan) -> Result<(), ApplyError> {
    if crate::install::home(client, plan.namespace.as_str()).await.ok().flatten().is_none() {
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        if definitions.get_opt("outises.outis.dev").await.ok().flatten().is_none() {
            return Ok(());
        }
        for object in manifests::namespace(plan) {
            applier.apply(&object).await?;
        }
    }
    let cleanup = manifests::cleanup(plan);
    applier.apply(&cleanup).await?;
    let api = Api::<DaemonSet>::namespaced(client.clone(), plan.namespace.as_str());
    let begun = tokio::time::Instant::now();
    loop {
        let status = api.get_opt(&cleanup.name_any()).await.ok().flatten().and_then(|found| found.status);
        let status = status.unwrap_or_default();
        let seen = status.observed_generation.is_some();
        if seen && status.number_ready >= status.desired_number_scheduled {
            break;
        }
        if begun.elapsed() > ENDING {
            let object = format!("{} of {} nodes", status.number_ready, status.desired_number_scheduled);
            return Err(ApplyError::Late { object, what: "were cleaned and no more", waited: ENDING });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    applier.delete(&cleanup).await?;
    applier.gone(&cleanup, ENDING).await?;
    pods_gone(client, plan).await
}
