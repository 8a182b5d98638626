//! The service of enrolled components: the stream, and signing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use outis_model::input::Role;
use outis_model::port::SigningRequest;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::service::{component, peer, refuse};
use super::session::Session;
use super::{Doors, Limits, Why};
use crate::MAX_CSR;
use crate::error::status;
use crate::message::bounded;
use crate::proto::{self, link_server};

/// Messages between a session and its socket.
const QUEUE: usize = 16;

/// The service of enrolled components.
pub(super) struct Link {
    doors: Doors,
    limits: Limits,
    life: watch::Receiver<()>,
    places: Arc<Semaphore>,
    seats: Arc<Seats>,
}

impl Link {
    pub(super) fn new(doors: Doors, limits: Limits, life: watch::Receiver<()>) -> Self {
        let places = Arc::new(Semaphore::new(limits.questions));
        Self { doors, limits, life, places, seats: Arc::default() }
    }
}

#[tonic::async_trait]
impl link_server::Link for Link {
    type AttachStream = ReceiverStream<Result<proto::Down, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<proto::Up>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let peer = peer(&request)?;
        let component = component(&self.doors, &peer).await?;
        if component.role == Role::Controller {
            let answer = Status::permission_denied("a controller does not connect to a controller");
            return Err(refuse(&self.doors, &peer, Why::NotEnrolled, answer));
        }
        let (down, stream) = mpsc::channel(QUEUE);
        let session = Session {
            doors: self.doors.clone(),
            limits: self.limits.clone(),
            life: self.life.clone(),
            seats: Arc::clone(&self.seats),
            peer,
            component,
            up: request.into_inner(),
            down,
        };
        tokio::spawn(session.run());
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn sign(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignedChain>, Status> {
        let peer = peer(&request)?;
        let component = component(&self.doors, &peer).await?;
        let no = |why, answer| refuse(&self.doors, &peer, why, answer);
        if component.role != Role::Agent {
            let text = format!("{component} may not ask for certificates of pods; only a node's agent may");
            return Err(no(Why::Signing, Status::permission_denied(text)));
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Err(no(Why::TooMany, crowded()));
        };
        let request = SigningRequest::try_from(request.into_inner())
            .map_err(|error| no(Why::Malformed, Status::invalid_argument(error.to_string())))?;
        let signed = self.doors.sign.sign(&component.node, request).await;
        let signed = signed.map_err(|refusal| no(Why::Signing, status(&refusal)))?;
        Ok(Response::new(signed.into()))
    }

    async fn renew(
        &self,
        request: Request<proto::RenewRequest>,
    ) -> Result<Response<proto::SignedChain>, Status> {
        let peer = peer(&request)?;
        let component = component(&self.doors, &peer).await?;
        let no = |why, answer| refuse(&self.doors, &peer, why, answer);
        let Ok(_place) = self.places.try_acquire() else {
            return Err(no(Why::TooMany, crowded()));
        };
        let csr = request.into_inner().csr;
        bounded("certificate request", csr.len(), MAX_CSR)
            .map_err(|error| no(Why::Oversize, Status::invalid_argument(error.to_string())))?;
        let signed = self.doors.registry.renew(&component, csr).await;
        let signed = signed.map_err(|refusal| no(Why::Signing, status(&refusal)))?;
        Ok(Response::new(signed.into()))
    }
}

fn crowded() -> Status {
    Status::unavailable("too many signings at once; try again")
}

/// One seat per sender: the newest connection has it. A seat is only taken when the one before has been left,
/// so that two sessions never store for the same sender.
#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<String, Seat>>);

#[derive(Default)]
struct Seat {
    taken: Arc<AsyncMutex<()>>,
    /// Dropped to ask the one who sits to leave.
    leave: Option<oneshot::Sender<()>>,
}

impl Seats {
    /// Asks whoever has the seat to leave, and waits for it. The receiver resolves when a newer one asks.
    pub(super) async fn take(&self, sender: &str) -> (OwnedMutexGuard<()>, oneshot::Receiver<()>) {
        let (leave, left) = oneshot::channel();
        let taken = {
            let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Seats nobody sits on or waits for are put away.
            seats.retain(|_, seat| Arc::strong_count(&seat.taken) > 1);
            let seat = seats.entry(sender.to_owned()).or_default();
            seat.leave = Some(leave);
            Arc::clone(&seat.taken)
        };
        (taken.lock_owned().await, left)
    }
}
