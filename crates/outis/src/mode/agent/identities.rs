//! Identities for attested pods: one key and certificate per pod, shared by all who ask from it, renewed at half
//! of their life. While the controller is away what was issued stays in use until it ends.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream;
use outis_identity::{Key, renew_at};
use outis_model::port::{
    Caller, Entitlement, Identities, Refusal, SigningRequest, TrustBundle, Updates, X509Svid,
};
use outis_model::snapshot::Pod;
use outis_model::{PodUid, Timestamp};
use tokio::sync::{Mutex, watch};

use crate::link::Link;

/// Pods whose certificates are held at most.
const PODS: usize = 4096;
/// How long a first caller waits for the link.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to renew.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Held {
    svid: X509Svid,
    renew: Timestamp,
}

type Cell = Arc<Mutex<Option<Held>>>;

/// Gives identities out.
pub(super) struct Issuer {
    link: Link,
    cells: Arc<std::sync::Mutex<HashMap<PodUid, Cell>>>,
}

impl Issuer {
    pub(super) fn new(link: Link) -> Self {
        Self { link, cells: Arc::default() }
    }

    /// The pod's cell. Cells whose certificate has ended and that nobody uses are let go.
    fn cell(&self, pod: &PodUid) -> Result<Cell, Refusal> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= PODS {
            let now = Timestamp::now();
            cells.retain(|_, cell| {
                let held = cell.try_lock();
                Arc::strong_count(cell) > 1
                    || held.is_ok_and(|held| held.as_ref().is_some_and(|held| held.svid.not_after > now))
            });
        }
        if cells.len() >= PODS && !cells.contains_key(pod) {
            return Err(Refusal::Unavailable(format!(
                "this agent holds certificates of {PODS} pods; no room for more"
            )));
        }
        Ok(Arc::clone(cells.entry(pod.clone()).or_default()))
    }
}

/// What a stream of entitlements goes on with.
struct Flow {
    link: Link,
    cell: Cell,
    pod: Arc<Pod>,
    told: Option<(Timestamp, u64)>,
}

impl Identities for Issuer {
    fn identities(&self, caller: &Caller) -> Updates<Result<Entitlement, Refusal>> {
        let cell = match self.cell(&caller.pod.uid) {
            Ok(cell) => cell,
            Err(refusal) => return Box::pin(stream::iter([Err(refusal)])),
        };
        let flow = Flow { link: self.link.clone(), cell, pod: Arc::clone(&caller.pod), told: None };
        Box::pin(stream::unfold(Some(flow), |flow| async move {
            let mut flow = flow?;
            match flow.next().await {
                Ok(entitlement) => Some((Ok(entitlement), Some(flow))),
                // The asker comes again; a stream that waits would look like an answer.
                Err(refusal) => Some((Err(refusal), None)),
            }
        }))
    }

    fn bundles(&self, _: &Caller) -> Updates<Result<TrustBundle, Refusal>> {
        let receiver = self.link.bundle.clone();
        Box::pin(stream::unfold((receiver, true), |(mut receiver, first)| async move {
            let bundle = next_bundle(&mut receiver, first).await?;
            Some((Ok(bundle), (receiver, false)))
        }))
    }
}

async fn next_bundle(
    receiver: &mut watch::Receiver<Option<TrustBundle>>,
    first: bool,
) -> Option<TrustBundle> {
    if !first {
        receiver.changed().await.ok()?;
    }
    receiver.wait_for(Option::is_some).await.ok()?.clone()
}

impl Flow {
    /// The next entitlement that differs from the one told before.
    async fn next(&mut self) -> Result<Entitlement, Refusal> {
        loop {
            let bundle = self.bundle().await?;
            let held = self.held().await;
            match held {
                Ok(held) if self.told == Some((held.svid.not_after, bundle.sequence)) => {
                    self.rest(held.renew, bundle.sequence).await
                }
                Ok(held) => {
                    self.told = Some((held.svid.not_after, bundle.sequence));
                    return Ok(Entitlement { svids: vec![held.svid], bundle });
                }
                // Whoever holds a certificate keeps it while a new one cannot be had.
                Err(refusal @ Refusal::Unavailable(_)) => match self.told {
                    Some((ends, _)) if ends > Timestamp::now() => tokio::time::sleep(AGAIN).await,
                    _ => return Err(refusal),
                },
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn bundle(&self) -> Result<TrustBundle, Refusal> {
        let mut receiver = self.link.bundle.clone();
        let waited = tokio::time::timeout(PATIENCE, receiver.wait_for(Option::is_some)).await;
        let unknown = || Refusal::Unavailable("the agent is not linked to the controller yet".into());
        waited.ok().and_then(Result::ok).and_then(|bundle| bundle.clone()).ok_or_else(unknown)
    }

    /// Waits until the certificate is due or the roots are others than those told: they may have changed while a
    /// certificate was being waited for.
    async fn rest(&self, renew: Timestamp, told: u64) {
        let mut roots = self.link.bundle.clone();
        let others = |held: &Option<TrustBundle>| held.as_ref().is_some_and(|held| held.sequence != told);
        let wait = renew.as_millisecond() - Timestamp::now().as_millisecond();
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0)).max(Duration::from_millis(100));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = roots.wait_for(others) => {}
        }
    }

    /// The pod's certificate; a new one when it is due. One asks, the others of the pod wait for it.
    async fn held(&self) -> Result<Held, Refusal> {
        let mut cell = self.cell.lock().await;
        let now = Timestamp::now();
        if let Some(held) = cell.as_ref().filter(|held| held.renew > now) {
            return Ok(held.clone());
        }
        let asked = self.sign(now).await;
        match (asked, cell.as_ref()) {
            (Ok(held), _) => {
                *cell = Some(held.clone());
                Ok(held)
            }
            // Past its half and not past its end: still good, and asked for again in a while.
            (Err(Refusal::Unavailable(why)), Some(held)) if held.svid.not_after > now => {
                tracing::warn!(why, pod = %self.pod.name, "An identity cannot be renewed yet");
                let soon = Timestamp::from_millisecond(now.as_millisecond() + AGAIN.as_millis() as i64)
                    .unwrap_or(now);
                Ok(Held { svid: held.svid.clone(), renew: soon })
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    async fn sign(&self, now: Timestamp) -> Result<Held, Refusal> {
        let mut signing = self.link.signing.clone();
        let waited = tokio::time::timeout(PATIENCE, signing.wait_for(Option::is_some)).await;
        let unknown = || Refusal::Unavailable("the agent is not enrolled with the controller yet".into());
        let signing =
            waited.ok().and_then(Result::ok).and_then(|signing| signing.clone()).ok_or_else(unknown)?;
        let ours = |error: outis_identity::IdentityError| Refusal::Unavailable(error.to_string());
        let key = Key::generate().map_err(ours)?;
        let csr = key.request(self.pod.name.as_str()).map_err(ours)?;
        let signed = signing.sign(SigningRequest { pod_uid: self.pod.uid.clone(), csr }).await?;
        let renew = renew_at(now, signed.not_after, crate::chance::byte());
        let svid = X509Svid {
            id: signed.id,
            chain: signed.chain,
            key: key.pkcs8(),
            not_before: now,
            not_after: signed.not_after,
        };
        Ok(Held { svid, renew })
    }
}

#[cfg(test)]
mod tests;
