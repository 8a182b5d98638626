//! The authority at rest: sealed, in the store and in a Secret beside it, under a key from another Secret. A
//! controller with an empty store finds it again; a cluster without either gets a new one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use outis_identity::{Authority, SealKey, Sealed};
use outis_model::{Namespace, Timestamp, TrustDomain};
use outis_store::State;
use serde_json::json;

use super::house::House;

const SEAL: &str = "outis-ca-seal";
const SEALED: &str = "outis-ca";
const STATE_KEY: &str = "ca/sealed";
/// The ConfigMap by which others know us.
pub(crate) const TRUST: &str = "outis-trust";

/// An authority that was found or made.
pub(crate) struct Ready {
    pub(crate) authority: Authority,
    /// Whether the store knew nothing of it: what was issued under it is not in the log then.
    pub(crate) unknown: bool,
}

/// The authority, from wherever it is, or new. Afterwards it lies in both places, and our roots are published.
pub(crate) async fn ready(
    client: &Client,
    home: &Namespace,
    domain: &TrustDomain,
    state: &State,
    now: Timestamp,
) -> Result<Ready> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home.as_str());
    let key = seal_key(&secrets).await?;
    let (secret, kept) = (secret(&secrets).await?, kept(state).await?);
    let unknown = secret.is_some() && kept.is_none();
    let authority = match (secret, kept) {
        (Some(sealed), _) | (None, Some(sealed)) => Authority::open(domain, &sealed, &key).context(
            "cannot open the sealed authority; if the Secret outis-ca-seal is lost, so is the authority: uninstall \
             with --purge and install anew",
        )?,
        (None, None) => {
            tracing::info!(%domain, "Making a new authority");
            Authority::create(domain, now)?
        }
    };
    let authority = authority.resumed(now);
    keep(client, home, &authority, &key, state).await?;
    publish(client, home, domain, &authority).await?;
    Ok(Ready { authority, unknown })
}

/// Puts an authority to rest. Nothing of it may be in force before that.
pub(crate) async fn rest(house: &House, authority: &Authority) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(house.client.clone(), house.home.as_str());
    let key = seal_key(&secrets).await?;
    keep(&house.client, &house.home, authority, &key, &house.state).await
}

/// In both places: first in the Secret, which a lost volume does not take along.
async fn keep(
    client: &Client,
    home: &Namespace,
    authority: &Authority,
    key: &SealKey,
    state: &State,
) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home.as_str());
    let held = secret(&secrets).await?;
    if !held.as_ref().is_some_and(|sealed| authority.rests_in(sealed)) {
        let sealed = authority.seal(key)?;
        write(&secrets, SEALED, "sealed.json", serde_json::to_vec(&sealed)?).await?;
    }
    let sealed = secret(&secrets).await?.context("the Secret outis-ca was taken away as it was written")?;
    let state = state.clone();
    let bytes = serde_json::to_vec(&sealed)?;
    let kept = tokio::task::spawn_blocking(move || {
        let old = state.get(STATE_KEY)?;
        if old.as_deref() == Some(&bytes) {
            return Ok(true);
        }
        state.swap(STATE_KEY, old.as_deref(), Some(&bytes))
    });
    anyhow::ensure!(kept.await??, "another task wrote the authority at the same time");
    Ok(())
}

async fn kept(state: &State) -> Result<Option<Sealed>> {
    let state = state.clone();
    let bytes = tokio::task::spawn_blocking(move || state.get(STATE_KEY)).await??;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes).context("the sealed authority in the store is no JSON"))
        .transpose()
}

async fn secret(secrets: &Api<Secret>) -> Result<Option<Sealed>> {
    let found = secrets.get_opt(SEALED).await.context("cannot read the Secret outis-ca")?;
    let bytes = found.and_then(|found| found.data).and_then(|mut data| data.remove("sealed.json"));
    bytes
        .map(|bytes| {
            serde_json::from_slice(&bytes.0).context("the Secret outis-ca holds no sealed authority")
        })
        .transpose()
}

async fn seal_key(secrets: &Api<Secret>) -> Result<SealKey> {
    let found = secrets.get_opt(SEAL).await.context("cannot read the Secret outis-ca-seal")?;
    if let Some(found) = found {
        let Some(bytes) = found.data.and_then(|mut data| data.remove("key")) else {
            bail!(
                "the Secret outis-ca-seal has no `key`; restore it, or uninstall with --purge and install anew"
            )
        };
        return Ok(SealKey::from_bytes(&bytes.0)?);
    }
    let key = SealKey::generate()?;
    let secret = Secret {
        metadata: ObjectMeta { name: Some(SEAL.into()), labels: Some(labels()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("key".to_owned(), ByteString(key.reveal().to_vec()))])),
        ..Secret::default()
    };
    // Created, never overwritten: two at once would seal with two keys.
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .context("cannot create the Secret outis-ca-seal")?;
    Ok(key)
}

pub(crate) fn labels() -> BTreeMap<String, String> {
    let labels = [("app.kubernetes.io/name", "outis"), ("app.kubernetes.io/part-of", "outis")];
    labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

async fn write(secrets: &Api<Secret>, name: &str, key: &str, bytes: Vec<u8>) -> Result<()> {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.into()), labels: Some(labels()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(key.to_owned(), ByteString(bytes))])),
        ..Secret::default()
    };
    let params = PatchParams::apply(outis_cluster::apply::MANAGER).force();
    let written = secrets.patch(name, &params, &Patch::Apply(&secret)).await;
    written.with_context(|| format!("cannot write the Secret {name}")).map(drop)
}

/// Tells others our roots.
pub(crate) async fn publish(
    client: &Client,
    home: &Namespace,
    domain: &TrustDomain,
    authority: &Authority,
) -> Result<()> {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TRUST, "labels": labels()},
        "data": {"trustDomain": domain.as_str(), "version": authority.rotation().version.to_string(),
            "bundle.pem": outis_identity::to_pem(&authority.roots())}});
    let params = PatchParams::apply(outis_cluster::apply::MANAGER).force();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), home.as_str());
    maps.patch(TRUST, &params, &Patch::Apply(&map))
        .await
        .context("cannot publish our roots in ConfigMap outis-trust")?;
    Ok(())
}
