//! What every question has in common - who asks, how many at once - and the service of enrolment.

use std::sync::Arc;

use outis_model::input::Component;
use outis_model::secret::Secret;
use outis_model::spiffe::SpiffeId;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::accept::Peer;
use super::{Doors, Limits, Refused, Why};
use crate::MAX_CSR;
use crate::error::status;
use crate::message::bounded;
use crate::proto::{self, enrol_server::Enrol};

/// The peer of a request.
pub(super) fn peer<T>(request: &Request<T>) -> Result<Arc<Peer>, Status> {
    let peer = request.extensions().get::<Arc<Peer>>();
    peer.cloned().ok_or_else(|| Status::internal("the connection has no peer"))
}

/// Tells the sink and makes the answer.
pub(super) fn refuse(doors: &Doors, peer: &Peer, why: Why, answer: Status) -> Status {
    let id = peer.id.clone().and_then(Result::ok);
    doors.sink.refused(Refused { address: peer.address, id, why, text: answer.message().to_owned() });
    answer
}

/// The component behind a connection.
pub(super) async fn component(doors: &Doors, peer: &Peer) -> Result<Component, Status> {
    let id = proven(doors, peer)?;
    doors
        .registry
        .component_of(id)
        .await
        .map_err(|refusal| refuse(doors, peer, Why::NotEnrolled, status(&refusal)))
}

fn proven<'a>(doors: &Doors, peer: &'a Peer) -> Result<&'a SpiffeId, Status> {
    match &peer.id {
        Some(Ok(id)) => Ok(id),
        Some(Err(text)) => {
            let answer = Status::unauthenticated(format!("your certificate names nobody: {text}"));
            Err(refuse(doors, peer, Why::NotEnrolled, answer))
        }
        None => {
            let answer = Status::unauthenticated("this needs a client certificate; enrol first");
            Err(refuse(doors, peer, Why::NoCertificate, answer))
        }
    }
}

/// The service of enrolment.
pub(super) struct Enrolling {
    doors: Doors,
    places: Arc<Semaphore>,
}

impl Enrolling {
    pub(super) fn new(doors: Doors, limits: &Limits) -> Self {
        Self { doors, places: Arc::new(Semaphore::new(limits.questions)) }
    }
}

#[tonic::async_trait]
impl Enrol for Enrolling {
    async fn enrol(
        &self,
        request: Request<proto::EnrolRequest>,
    ) -> Result<Response<proto::EnrolResponse>, Status> {
        let peer = peer(&request)?;
        let Ok(_place) = self.places.try_acquire() else {
            let answer = Status::unavailable("too many enrolments at once; try again");
            return Err(refuse(&self.doors, &peer, Why::TooMany, answer));
        };
        let proto::EnrolRequest { token, csr } = request.into_inner();
        for (what, size) in [("token", token.len()), ("certificate request", csr.len())] {
            bounded(what, size, MAX_CSR).map_err(|error| {
                refuse(&self.doors, &peer, Why::Oversize, Status::invalid_argument(error.to_string()))
            })?;
        }
        let answer = self.doors.registry.enrol(Secret::new(token), csr).await;
        let enrolment =
            answer.map_err(|refusal| refuse(&self.doors, &peer, Why::Enrolment, status(&refusal)))?;
        Ok(Response::new(enrolment.into()))
    }
}
