//! Who is who on the link, and whose certificate requests are granted. Everything issued is in the log first.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use outis_identity::Leaf;
use outis_identity::attest::{self, NotBelieved, ReplayGuard, TokenFacts};
use outis_model::alert::Priority;
use outis_model::input::Component;
use outis_model::port::{Answer, Refusal, Sign, SignedChain, SigningRequest};
use outis_model::record::Subject;
use outis_model::snapshot::Pod;
use outis_model::{Input, NodeName, PodUid, RecordKind, Secret, SpiffeId, Timestamp};
use outis_wire::{Enrolment, Refused, Registry, Sink, Why};
use serde_json::json;

use super::house::{House, unavailable};
use super::owner::World;
use super::parked::Parked;
use crate::mode::record;

/// Answers for the link.
pub(crate) struct Desk {
    pub(crate) house: Arc<House>,
    pub(crate) replay: Arc<ReplayGuard>,
    pub(crate) parked: Arc<Parked>,
}

impl Registry for Desk {
    fn enrol(&self, token: Secret<String>, csr: Vec<u8>) -> Answer<'_, Result<Enrolment, Refusal>> {
        Box::pin(self.enrol_with(token, csr))
    }

    fn renew<'a>(
        &'a self,
        component: &'a Component,
        csr: Vec<u8>,
    ) -> Answer<'a, Result<SignedChain, Refusal>> {
        Box::pin(async move {
            let name = component.pod.parse().ok();
            let find = |world: &World| world.snapshot.pod(&self.house.home, name.as_ref()?).cloned();
            let pod = self.house.pod(find).await;
            let pod = pod.ok_or_else(|| Refusal::Denied(format!("pod {} is gone", component.pod)))?;
            self.certify(&csr, component, &pod).await
        })
    }

    fn component_of<'a>(&'a self, id: &'a SpiffeId) -> Answer<'a, Result<Component, Refusal>> {
        Box::pin(async move {
            let component = attest::component_of(&self.house.domain, id);
            let component =
                component.ok_or_else(|| Refusal::Denied(format!("{id} is no component of ours")))?;
            match self.house.runs(&component) {
                true => Ok(component),
                false => Err(Refusal::Denied(format!("pod {} of {component} is gone", component.pod))),
            }
        })
    }
}

impl Desk {
    async fn enrol_with(&self, token: Secret<String>, csr: Vec<u8>) -> Result<Enrolment, Refusal> {
        let house = &self.house;
        let says = outis_cluster::review::token(&house.client, token.reveal(), attest::AUDIENCE).await;
        let says = says.map_err(|error| unavailable(error.into()))?;
        let facts = TokenFacts {
            authenticated: says.authenticated,
            audiences: says.audiences,
            username: says.username,
            pod_name: says.pod.0,
            pod_uid: says.pod.1,
        };
        let name = facts.pod_name.parse().ok();
        let find = |world: &World| {
            let pod = world.snapshot.pod(&house.home, name.as_ref()?)?;
            (pod.uid.as_str() == facts.pod_uid && pod.node.is_some()).then(|| Arc::clone(pod))
        };
        let pod = match facts.authenticated {
            true => house.pod(find).await,
            false => None,
        };
        let denied = |error: NotBelieved| Refusal::Denied(error.to_string());
        let component = attest::component(&facts, pod.as_deref(), &house.home).map_err(denied)?;
        let pod = pod.ok_or_else(|| Refusal::Denied(format!("pod {} is gone", component.pod)))?;
        // Only a token that would have been taken counts as used: a stranger's noise fills no memory.
        self.first_use(token.clone()).await?;
        match self.certify(&csr, &component, &pod).await {
            Ok(signed) => Ok(Enrolment { signed, bundle: house.bundle() }),
            Err(refusal) => {
                // Nothing was handed out for it: whoever comes again must not be taken for a thief.
                let replay = Arc::clone(&self.replay);
                let _ = tokio::task::spawn_blocking(move || replay.give_back(token.reveal())).await;
                Err(refusal)
            }
        }
    }

    /// A token's first use; that it was used is on disk when this returns.
    async fn first_use(&self, token: Secret<String>) -> Result<(), Refusal> {
        let replay = Arc::clone(&self.replay);
        let used = tokio::task::spawn_blocking(move || replay.first_use(token.reveal(), Timestamp::now()));
        match used.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ NotBelieved::Unremembered(_))) => Err(unavailable(error.into())),
            Ok(Err(error)) => Err(Refusal::Denied(error.to_string())),
            Err(error) => Err(unavailable(error.into())),
        }
    }

    /// A component's own certificate.
    async fn certify(&self, csr: &[u8], component: &Component, pod: &Pod) -> Result<SignedChain, Refusal> {
        let id = attest::component_id(&self.house.domain, component);
        let leaf = Leaf { id, dns: vec![], lifetime: self.lifetime() };
        self.issue(csr, &leaf, &component.to_string(), subject(component), &pod.uid).await
    }

    fn lifetime(&self) -> i64 {
        self.house.settings.borrow().identity.svid_seconds
    }

    async fn issue(
        &self,
        csr: &[u8],
        leaf: &Leaf,
        actor: &str,
        subject: Subject,
        pod: &PodUid,
    ) -> Result<SignedChain, Refusal> {
        let now = Timestamp::now();
        let authority = self.house.authority.load_full();
        let signed = authority.sign(csr, leaf, now).map_err(|error| match error {
            outis_identity::IdentityError::Request(why) => Refusal::Invalid(why),
            other => unavailable(other.into()),
        })?;
        let mut record = record(now, RecordKind::Issuance, actor, subject);
        record.summary = format!("issued {} until {}", signed.id, signed.not_after);
        record.fields = BTreeMap::from([
            ("spiffeId".to_owned(), json!(signed.id)),
            ("notAfter".to_owned(), json!(signed.not_after)),
            ("podUid".to_owned(), json!(pod)),
            ("root".to_owned(), json!(authority.root())),
        ]);
        let leaves = self.house.leaves.lock();
        leaves.unwrap_or_else(PoisonError::into_inner).issued(pod, &authority.root(), signed.not_after);
        // On disk before anybody holds it, or in the memory of a disk that is full.
        self.parked.keep(&self.house, pod, record).await?;
        Ok(signed)
    }
}

impl Sign for Desk {
    fn sign<'a>(
        &'a self,
        node: &'a NodeName,
        request: SigningRequest,
    ) -> Answer<'a, Result<SignedChain, Refusal>> {
        Box::pin(async move {
            let uid = request.pod_uid.clone();
            let pod = self.house.pod(|world| world.snapshot.pod_by_uid(&uid).cloned()).await;
            let pod = pod.ok_or_else(|| Refusal::Unavailable(format!("pod {uid} is not in our view yet")))?;
            let id = attest::entitled(&self.house.domain, node, &pod)
                .map_err(|error| Refusal::Denied(error.to_string()))?;
            let subject = Subject {
                namespace: Some(pod.namespace.clone()),
                kind: "Pod".into(),
                name: Some(pod.name.clone()),
                node: Some(node.clone()),
            };
            let leaf = Leaf { id, dns: vec![], lifetime: self.lifetime() };
            self.issue(&request.csr, &leaf, &format!("outis:agent:{node}"), subject, &pod.uid).await
        })
    }
}

impl Sink for Desk {
    fn refused(&self, refused: Refused) {
        let word = refused.why.word();
        self.house.count(&self.house.refused, word);
        // Strangers can fail as often as they try: those are counted. Who holds a certificate or a token is told.
        let told = matches!(
            refused.why,
            Why::Enrolment | Why::Signing | Why::Impostor | Why::NotEnrolled | Why::Gap | Why::Stale
        );
        tracing::warn!(address = %refused.address, why = word, text = refused.text, "Refused at the link");
        if !told {
            return;
        }
        let actor = refused.id.map_or_else(|| refused.address.ip().to_string(), |id| id.to_string());
        let mut record = record(Timestamp::now(), RecordKind::Refusal, &actor, Subject::default());
        record.summary = format!("refused at the link: {word}: {}", outis_model::redact::text(&refused.text));
        record.priority = Priority::Warning;
        self.house.tell(Input::Happened(record));
    }
}

fn subject(component: &Component) -> Subject {
    Subject {
        namespace: None,
        kind: "Node".into(),
        name: component.node.as_str().parse().ok(),
        node: Some(component.node.clone()),
    }
}
