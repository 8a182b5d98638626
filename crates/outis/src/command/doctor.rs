//! `outis doctor`: looks at everything, judges in `crate::doctor`, prints what is wrong first.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use outis_cluster::manifests::PART_OF;
use outis_cluster::registration::NAME;
use outis_cluster::review::{Access, may_i};
use outis_model::input::Standing;
use outis_model::{Namespace, Timestamp};

use super::ask::Asker;
use super::output;
use crate::arguments::{Cluster, Output};
use crate::doctor::{Check, Examined, examine};
use crate::exit::{FINDINGS, FINE, chain};
use crate::status::Status;

/// Prints every finding; 1 when something keeps Outis from working.
pub(super) async fn run(how: Output, cluster: &Cluster) -> Result<u8> {
    let client = outis_cluster::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    let examined = look(&client, cluster).await;
    let mut checks = examine(&examined);
    checks.sort_by_key(|check| std::cmp::Reverse(check.standing));
    match output::machine(how, &checks)? {
        Some(machine) => println!("{machine}"),
        None => text(&checks),
    }
    Ok(if checks.iter().any(|check| check.standing == Standing::Missing) { FINDINGS } else { FINE })
}

async fn look(client: &Client, cluster: &Cluster) -> Examined {
    let home = cluster.system_namespace.as_str();
    let asked: Result<Status> = async { Asker::new(cluster).await?.json("/v1/status").await }.await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), home);
    let claim = claims.get_opt("outis-store").await;
    let phase = |claim: PersistentVolumeClaim| claim.status?.phase;
    let sets = Api::<DaemonSet>::all(client.clone()).list(&ListParams::default()).await;
    Examined {
        server: client.apiserver_version().await.map(|version| version.git_version).unwrap_or_default(),
        forbidden: forbidden(client).await,
        parts: outis_cluster::install::state(client, home).await.map_err(|error| error.to_string()),
        status: asked.map(Box::new).map_err(|error| chain(&error)),
        skew: skew(client, home).await,
        claim: claim.map(|claim| claim.and_then(phase)).map_err(|error| error.to_string()),
        daemon_sets: sets
            .map(|list| list.items.iter().map(ResourceExt::name_any).collect())
            .unwrap_or_default(),
        policies: policies(client).await,
        version: env!("CARGO_PKG_VERSION").into(),
        chain: believed(client, &cluster.system_namespace).await,
    }
}

/// NetworkPolicies of others.
async fn policies(client: &Client) -> Option<usize> {
    let others = ListParams::default().labels(&format!("{PART_OF}!=outis"));
    let list = Api::<NetworkPolicy>::all(client.clone()).list_metadata(&others).await;
    list.ok().map(|list| list.items.len())
}

/// What the API server will find when it calls: the certificate that is served, under the roots that are
/// registered. `None` when nothing is registered.
async fn believed(client: &Client, home: &Namespace) -> Option<Result<(), String>> {
    let registrations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let registered = match registrations.get_opt(NAME).await {
        Ok(found) => found?,
        Err(error) => return Some(Err(format!("the registration cannot be read: {error}"))),
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home.as_str());
    let served = match secrets.get_opt("outis-webhook-serving").await {
        Ok(found) => found.and_then(|secret| secret.data).and_then(|mut data| data.remove("tls.crt")),
        Err(error) => return Some(Err(format!("its certificate cannot be read: {error}"))),
    };
    let Some(served) = served else { return Some(Err("there is no certificate to serve".into())) };
    Some(crate::chain::believed(&registered, &served.0, home, Timestamp::now()))
}

async fn forbidden(client: &Client) -> Vec<String> {
    let needed = [
        ("rbac.authorization.k8s.io", "clusterroles", "patch"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
        ("apps", "daemonsets", "patch"),
        ("", "namespaces", "patch"),
    ];
    let mut missing = Vec::new();
    for (group, resource, verb) in needed {
        let access = Access { namespace: None, verb, group, resource, name: "" };
        if !may_i(client, &access).await.unwrap_or(false) {
            missing.push(format!("{verb} {resource}"));
        }
    }
    missing
}

/// The controller renews its Lease every few seconds, by its own clock.
async fn skew(client: &Client, home: &str) -> Option<i64> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), home);
    let renewed = leases.get_opt("outis-controller").await.ok()??.spec?.renew_time?.0.as_second();
    let behind = renewed - Timestamp::now().as_second();
    // It may be up to one period old.
    let period = i64::try_from(outis_cluster::lease::RENEW.as_secs()).unwrap_or(5);
    Some(if (-2 * period..=0).contains(&behind) { 0 } else { behind })
}

fn text(checks: &[Check]) {
    for check in checks {
        let word = match check.standing {
            Standing::Fine => "ok",
            Standing::Limited => "limited",
            Standing::Unknown => "unknown",
            Standing::Missing => "WRONG",
        };
        println!("{word:<8} {}: {}", check.name, check.text);
        if let Some(fix) = check.fix.as_ref().filter(|_| check.standing != Standing::Fine) {
            println!("         fix: {fix}");
        }
    }
    let wrong = checks.iter().filter(|check| check.standing == Standing::Missing).count();
    println!("\n{} checks, {wrong} wrong", checks.len());
}
