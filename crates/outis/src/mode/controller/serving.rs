//! The webhook's serving certificate: made, kept and renewed in a Secret that nobody else writes.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use outis_cluster::apply::MANAGER;
use outis_identity::serving::{self, Due};
use outis_model::{Namespace, Timestamp};
use serde_json::json;

const SECRET: &str = "outis-webhook-serving";

/// What is served now, and what the API server must believe.
pub(crate) struct Bundle {
    /// Roots, PEM: those of the certificate in use and those before it.
    pub(crate) roots: String,
    /// A certificate to be put in use once the roots above are registered.
    pub(crate) next: Option<Next>,
}

/// A certificate that nobody serves yet.
pub(crate) struct Next {
    chain: String,
    key: String,
}

/// Looks at the Secret. A due certificate is made but not written: its root must be registered first.
pub(crate) async fn look(client: &Client, home: &Namespace, now: Timestamp) -> Result<Bundle> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home.as_str());
    let found = secrets.get_opt(SECRET).await.with_context(|| format!("cannot read the Secret {SECRET}"))?;
    let data = found.and_then(|found| found.data).unwrap_or_default();
    let held = |key: &str| data.get(key).map(|bytes| bytes.0.clone()).unwrap_or_default();
    let (chain, roots) = (held("tls.crt"), held("roots.pem"));
    match serving::due(&chain, now) {
        Due::Nothing if !roots.is_empty() => {
            Ok(Bundle { roots: String::from_utf8_lossy(&roots).into_owned(), next: None })
        }
        _ => {
            let made = serving::create(&[crate::chain::name(home)], now)?;
            let roots = serving::bundle(&made.root, &roots, now);
            Ok(Bundle { roots, next: Some(Next { chain: made.chain, key: made.key.into_inner() }) })
        }
    }
}

/// Puts a certificate in use.
pub(crate) async fn write(client: &Client, home: &Namespace, bundle: &Bundle) -> Result<()> {
    let Some(next) = &bundle.next else { return Ok(()) };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home.as_str());
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "labels": super::ca::labels()},
        "stringData": {"tls.crt": next.chain, "tls.key": next.key, "roots.pem": bundle.roots}});
    let params = PatchParams::apply(MANAGER).force();
    let written = secrets.patch(SECRET, &params, &Patch::Apply(&secret)).await;
    written.with_context(|| format!("cannot write the Secret {SECRET}"))?;
    tracing::info!(secret = SECRET, "Serving certificate written");
    Ok(())
}
