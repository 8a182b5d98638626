//! The fence: who holds the Lease may act as the one controller.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

/// How long a holder is believed without a word.
pub const LIFE: Duration = Duration::from_secs(15);
/// How often a holder renews.
pub const RENEW: Duration = Duration::from_secs(5);
/// Under which annotation a holder leaves word for the next one.
const WORD: &str = "outis.dev/log-head";

/// A lease of ours, or on its way to be.
pub struct Fence {
    api: Api<Lease>,
    name: String,
    holder: String,
    word: Mutex<Option<String>>,
}

/// What an attempt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// By us.
    Ours,
    /// By somebody else.
    By(String),
}

impl Fence {
    /// For this holder, such as a pod's name.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, name: &str, holder: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, name: name.into(), holder: holder.into(), word: Mutex::default() }
    }

    /// What the next renewal is to say for whoever holds the lease after us.
    pub fn leave_word(&self, word: String) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
    }

    /// What the holder before left, or we ourselves.
    ///
    /// # Errors
    /// The server's words.
    pub async fn word(&self) -> Result<Option<String>, kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        Ok(found.and_then(|lease| lease.metadata.annotations?.remove(WORD)))
    }

    /// Takes or renews the lease, if nobody else holds it.
    ///
    /// # Errors
    /// The server's words; then nothing is known.
    pub async fn hold(&self, now: Timestamp) -> Result<Held, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let lease = self.lease(None, now);
            return match self.api.create(&PostParams::default(), &lease).await {
                Ok(_) => Ok(Held::Ours),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Held::By("somebody".into())),
                Err(error) => Err(error),
            };
        };
        if let Some(other) = held_by(&found, &self.holder, now) {
            return Ok(Held::By(other));
        }
        // The version goes along: of two who see it free only one gets it.
        match self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(found), now)).await {
            Ok(_) => Ok(Held::Ours),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Held::By("somebody".into())),
            Err(error) => Err(error),
        }
    }

    /// Lets go, so that the next need not wait.
    ///
    /// # Errors
    /// The server's words.
    pub async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut found) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) =
            found.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.holder))
        else {
            return Ok(());
        };
        spec.holder_identity = None;
        self.api.replace(&self.name, &PostParams::default(), &found).await.map(drop)
    }

    fn lease(&self, found: Option<Lease>, now: Timestamp) -> Lease {
        let fresh = || Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        };
        let mut lease = found.unwrap_or_else(fresh);
        if let Some(word) = &*self.word.lock().unwrap_or_else(PoisonError::into_inner) {
            lease.metadata.annotations.get_or_insert_default().insert(WORD.into(), word.clone());
        }
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.holder) {
            spec.acquire_time = Some(crate::time::micros(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = i32::try_from(LIFE.as_secs()).ok();
        spec.renew_time = Some(crate::time::micros(now));
        lease
    }
}

/// Who else holds it, and is still believed.
fn held_by(lease: &Lease, us: &str, now: Timestamp) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty() && *holder != us)?;
    let renewed = spec.renew_time.as_ref().map_or(0, |time| time.0.as_second());
    let life = i64::from(spec.lease_duration_seconds.unwrap_or(0));
    (now.as_second() <= renewed + life).then(|| holder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": holder,
            "leaseDurationSeconds": 15, "renewTime": Timestamp::from_second(renewed).expect("time").to_string()}}))
        .expect("a lease")
    }

    #[test]
    fn a_silent_holder_is_believed_for_its_time_and_no_longer() {
        let at = |second| Timestamp::from_second(second).expect("time");
        assert_eq!(held_by(&lease("other", 100), "us", at(115)), Some("other".into()));
        assert_eq!(held_by(&lease("other", 100), "us", at(116)), None);
        assert_eq!(held_by(&lease("us", 100), "us", at(101)), None);
        assert_eq!(held_by(&lease("", 100), "us", at(101)), None);
    }
}
