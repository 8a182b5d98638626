//! The questions of the Workload API.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use outis_model::port::{Caller, Entitlement, Refusal, TrustBundle, X509Svid};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::door;
use super::proto::{self, spiffe_workload_api_server::SpiffeWorkloadApi};
use super::{Doors, HEADER, Refused};
use crate::peer;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(super) struct Service {
    doors: Doors,
    patience: Duration,
    life: watch::Receiver<()>,
}

impl Service {
    pub(super) fn new(doors: Doors, patience: Duration, life: watch::Receiver<()>) -> Self {
        Self { doors, patience, life }
    }

    /// Who asks, proved anew.
    async fn caller<T>(&self, request: &Request<T>) -> Result<(Arc<door::Caller>, Caller), Status> {
        let connection = request.extensions().get::<Arc<door::Caller>>().cloned();
        let connection = connection.ok_or_else(|| Status::internal("the connection has no peer"))?;
        let peer = &connection.peer;
        if request.metadata().get(HEADER).is_none_or(|value| value != "true") {
            let text = format!("a request needs the metadata {HEADER}: true; SPIFFE libraries add it");
            return Err(self.refuse(peer.pid, None, Status::invalid_argument(text)));
        }
        if peer::gone(peer) {
            let text = "the process that opened this connection has ended";
            return Err(self.refuse(peer.pid, None, Status::permission_denied(text)));
        }
        let attested = timeout(self.patience, self.doors.attest.attest(peer)).await;
        let attested =
            attested.unwrap_or_else(|_| Err(Refusal::Unavailable("attestation took too long".into())));
        let caller = attested.map_err(|refusal| self.refuse(peer.pid, None, status(&refusal)))?;
        connection.known.store(true, Ordering::Relaxed);
        Ok((connection, caller))
    }

    fn refuse(&self, pid: u32, pod: Option<String>, answer: Status) -> Status {
        self.doors.sink.refused(Refused { pid, pod, text: answer.message().to_owned() });
        answer
    }

    /// Messages until the first refusal, the end of the process, or ours.
    fn until_gone<T: Send + 'static>(
        &self,
        connection: Arc<door::Caller>,
        caller: &Caller,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Answers<T> {
        let mut life = self.life.clone();
        let (sink, pid) = (Arc::clone(&self.doors.sink), connection.peer.pid);
        let pod = format!("{}/{}", caller.pod.namespace, caller.pod.name);
        let over = async move {
            tokio::select! {
                () = peer::end(&connection.peer) => {}
                _ = life.changed() => {}
            }
        };
        let mut refused = false;
        let told = answers.inspect(move |answer| {
            if let Err(status) = answer {
                sink.refused(Refused { pid, pod: Some(pod.clone()), text: status.message().to_owned() });
            }
        });
        let ended =
            stream::once(async { Err(Status::unavailable("the stream of answers ended; ask again")) });
        let answers = told.chain(ended).take_while(move |answer| {
            let go_on = !refused;
            refused |= answer.is_err();
            std::future::ready(go_on)
        });
        Box::pin(answers.take_until(over))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = Answers<proto::X509svidResponse>;
    type FetchX509BundlesStream = Answers<proto::X509BundlesResponse>;
    type FetchJWTBundlesStream = Answers<proto::JwtBundlesResponse>;
    type FetchWITSVIDStream = Answers<proto::WitsvidResponse>;
    type FetchWITBundlesStream = Answers<proto::WitBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<proto::X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let (connection, caller) = self.caller(&request).await?;
        let entitlements = self.doors.identities.identities(&caller);
        let answers = entitlements.map(|entitlement| svids(entitlement.map_err(|refusal| status(&refusal))?));
        Ok(Response::new(self.until_gone(connection, &caller, answers)))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<proto::X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        let (connection, caller) = self.caller(&request).await?;
        let bundles = self.doors.identities.bundles(&caller);
        let answers = bundles.map(|bundle| Ok(self::bundles(&bundle.map_err(|refusal| status(&refusal))?)));
        Ok(Response::new(self.until_gone(connection, &caller, answers)))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<proto::JwtsvidRequest>,
    ) -> Result<Response<proto::JwtsvidResponse>, Status> {
        self.caller(&request).await?;
        Err(no_jwt())
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<proto::JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.caller(&request).await?;
        Err(no_jwt())
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<proto::ValidateJwtsvidRequest>,
    ) -> Result<Response<proto::ValidateJwtsvidResponse>, Status> {
        self.caller(&request).await?;
        Err(no_jwt())
    }

    async fn fetch_witsvid(
        &self,
        request: Request<proto::WitsvidRequest>,
    ) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        self.caller(&request).await?;
        Err(no_wit())
    }

    async fn fetch_wit_bundles(
        &self,
        request: Request<proto::WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        self.caller(&request).await?;
        Err(no_wit())
    }
}

fn no_jwt() -> Status {
    Status::unimplemented("JWT-SVIDs are not issued by this version; use X.509-SVIDs (FetchX509SVID)")
}

fn no_wit() -> Status {
    Status::unimplemented("WIT-SVIDs are not issued by this version; use X.509-SVIDs (FetchX509SVID)")
}

/// Statuses as the standard gives them their meaning (SPIFFE_Workload_API.md section 4.4).
fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Denied(text) => Status::permission_denied(text),
        Refusal::Unavailable(text) => Status::unavailable(text),
        Refusal::Invalid(text) => Status::invalid_argument(text),
    }
}

fn svids(entitlement: Entitlement) -> Result<proto::X509svidResponse, Status> {
    if entitlement.svids.is_empty() {
        return Err(Status::permission_denied("this workload has no identity"));
    }
    let bundle = entitlement.bundle.roots.concat();
    let one = |svid: X509Svid| proto::X509svid {
        spiffe_id: svid.id.to_string(),
        x509_svid: svid.chain.concat(),
        x509_svid_key: svid.key.into_inner(),
        bundle: bundle.clone(),
        hint: String::new(),
    };
    let svids = entitlement.svids.into_iter().map(one).collect();
    Ok(proto::X509svidResponse { svids, ..Default::default() })
}

fn bundles(bundle: &TrustBundle) -> proto::X509BundlesResponse {
    let ours = (bundle.trust_domain.id().to_string(), bundle.roots.concat());
    proto::X509BundlesResponse { bundles: [ours].into(), ..Default::default() }
}
