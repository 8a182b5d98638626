//! Objects put into the cluster server-side, and taken out again.

use std::collections::HashMap;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{ApiCapabilities, Scope};

/// Our name among the managers of an object's fields.
pub const MANAGER: &str = "outis";

/// Why an object was not put there, or not taken away.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server has no such kind.
    #[error("the API server knows no {0}")]
    Kind(String),
    /// It said no, or could not be reached.
    #[error("cannot {doing} {object}")]
    Server {
        /// `apply`, `delete`, `read`.
        doing: &'static str,
        /// Kind and name.
        object: String,
        /// Its words.
        #[source]
        source: Box<kube::Error>,
    },
    /// It did not get there in time.
    #[error("{object} {what} within {} s", waited.as_secs())]
    Late {
        /// Kind and name.
        object: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
}

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there before.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there, and is as it was.
    Unchanged,
}

/// Applies and deletes objects of any kind.
pub struct Applier {
    client: Client,
    known: HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>,
}

/// Kind and name, for people.
#[must_use]
pub fn described(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
    let name = object.metadata.name.as_deref().unwrap_or("-");
    match &object.metadata.namespace {
        Some(ns) => format!("{kind} {ns}/{name}"),
        None => format!("{kind} {name}"),
    }
}

impl Applier {
    /// With this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    /// The API of an object's kind and namespace.
    ///
    /// # Errors
    /// The server does not know the kind.
    pub async fn api(&mut self, object: &DynamicObject) -> Result<Api<DynamicObject>, ApplyError> {
        let gvk = object
            .types
            .as_ref()
            .and_then(|types| GroupVersionKind::try_from(types).ok())
            .ok_or_else(|| ApplyError::Kind(described(object)))?;
        if !self.known.contains_key(&gvk) {
            let found = kube::discovery::pinned_kind(&self.client, &gvk).await;
            let found = found.map_err(|_| ApplyError::Kind(format!("{} {}", gvk.api_version(), gvk.kind)))?;
            self.known.insert(gvk.clone(), found);
        }
        let (resource, capabilities) = &self.known[&gvk];
        Ok(match (&capabilities.scope, &object.metadata.namespace) {
            (Scope::Namespaced, Some(ns)) => Api::namespaced_with(self.client.clone(), ns, resource),
            _ => Api::all_with(self.client.clone(), resource),
        })
    }

    /// Applies one object, taking over fields others had set.
    ///
    /// # Errors
    /// The server's words.
    pub async fn apply(&mut self, object: &DynamicObject) -> Result<(Outcome, DynamicObject), ApplyError> {
        let api = self.api(object).await?;
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let failed = |doing| {
            move |error: kube::Error| ApplyError::Server {
                doing,
                object: described(object),
                source: Box::new(error),
            }
        };
        let before = api.get_opt(name).await.map_err(failed("read"))?;
        let params = PatchParams::apply(MANAGER).force();
        let after = api.patch(name, &params, &Patch::Apply(object)).await.map_err(failed("apply"))?;
        let outcome = match before {
            None => Outcome::Created,
            Some(before) if before.metadata.resource_version == after.metadata.resource_version => {
                Outcome::Unchanged
            }
            Some(_) => Outcome::Changed,
        };
        Ok((outcome, after))
    }

    /// Deletes one object; whether it was there. Without one of its kind in the server it was not.
    ///
    /// # Errors
    /// The server's words.
    pub async fn delete(&mut self, object: &DynamicObject) -> Result<bool, ApplyError> {
        let api = match self.api(object).await {
            Ok(api) => api,
            Err(ApplyError::Kind(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: object
                .metadata
                .uid
                .clone()
                .map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        };
        match api.delete(name, &params).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(ApplyError::Server {
                doing: "delete",
                object: described(object),
                source: Box::new(error),
            }),
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// It is still there after `deadline`, or the server cannot be asked.
    pub async fn gone(&mut self, object: &DynamicObject, deadline: Duration) -> Result<(), ApplyError> {
        let api = match self.api(object).await {
            Ok(api) => api,
            Err(ApplyError::Kind(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let begun = tokio::time::Instant::now();
        loop {
            match api.get_opt(name).await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) | Err(_) if begun.elapsed() < deadline => {}
                _ => {
                    let what = "is not gone";
                    return Err(ApplyError::Late { object: described(object), what, waited: deadline });
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
