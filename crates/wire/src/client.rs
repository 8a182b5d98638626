//! The component's end: enrolment, signing, and the link that empties the spool.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use outis_model::effect::Resource;
use outis_model::port::{Answer, Refusal, SignedChain, SigningRequest};
use outis_model::secret::Secret;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::error::{WireError, refusal};
use crate::message::{Enrolment, Malformed, bounded};
use crate::proto::{self, enrol_client::EnrolClient, link_client::LinkClient};
use crate::{ENVELOPE, MAX_CSR, MAX_RESOURCE};

mod session;
mod uplink;

pub use uplink::{LinkState, Uplink, UplinkParts};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the controller is and how it proves itself. Who it must be is decided by the verifier inside `tls`.
#[derive(Clone)]
pub struct Controller {
    /// `host:port`.
    pub address: String,
    /// The name sent in the handshake.
    pub name: ServerName<'static>,
    /// Roots, verifier and (for everything but enrolment) the client certificate.
    pub tls: Arc<ClientConfig>,
}

/// Takes what the controller pushes. An error is told to the controller; the version stays unacknowledged.
pub trait Receive: Send + Sync {
    /// Takes over one resource. Versions of one name only rise within one connection.
    fn receive(&self, resource: Resource) -> Answer<'_, Result<(), String>>;
}

/// Asks the controller to sign. Connects when first asked and again whenever the connection is gone.
#[derive(Clone)]
pub struct Signing {
    client: LinkClient<Channel>,
}

impl Signing {
    /// Over this controller.
    ///
    /// # Errors
    /// The address does not parse.
    pub fn new(controller: &Controller) -> Result<Self, WireError> {
        let channel =
            controller.endpoint()?.timeout(TIMEOUT * 3).connect_with_connector_lazy(controller.connector());
        Ok(Self { client: LinkClient::new(channel) })
    }

    /// A certificate for a pod of this node.
    ///
    /// # Errors
    /// `Unavailable` also when the controller cannot be reached.
    pub async fn sign(&self, request: SigningRequest) -> Result<SignedChain, Refusal> {
        let csr = request.csr;
        bounded("certificate request", csr.len(), MAX_CSR)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        let ask = proto::SignRequest { pod_uid: request.pod_uid.to_string(), csr };
        read(self.client.clone().sign(ask).await)
    }

    /// A new certificate of our own, in the place of the one we show.
    ///
    /// # Errors
    /// `Unavailable` also when the controller cannot be reached, or does not take the one we show.
    pub async fn renew(&self, csr: Vec<u8>) -> Result<SignedChain, Refusal> {
        bounded("certificate request", csr.len(), MAX_CSR)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        read(self.client.clone().renew(proto::RenewRequest { csr }).await)
    }
}

/// Asks for a first certificate. `controller.tls` needs no client certificate.
///
/// # Errors
/// The controller cannot be reached, or refuses the token by name.
pub async fn enrol(
    controller: &Controller,
    token: Secret<String>,
    csr: Vec<u8>,
) -> Result<Enrolment, WireError> {
    let channel = controller.connect().await?;
    let ask = proto::EnrolRequest { token: token.into_inner(), csr };
    let answer = EnrolClient::new(channel).enrol(ask).await.map_err(|status| refusal(&status))?;
    Ok(answer.into_inner().try_into()?)
}

fn read(answer: Result<tonic::Response<proto::SignedChain>, tonic::Status>) -> Result<SignedChain, Refusal> {
    let signed = answer.map_err(|status| refusal(&status))?.into_inner();
    signed.try_into().map_err(|error: Malformed| Refusal::Unavailable(crate::describe(&error)))
}

impl Controller {
    fn endpoint(&self) -> Result<Endpoint, WireError> {
        // The scheme says nothing: the connector below speaks TLS.
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))
            .map_err(|_| WireError::Address(self.address.clone()))?;
        Ok(endpoint
            .connect_timeout(TIMEOUT)
            .http2_keep_alive_interval(TIMEOUT)
            .keep_alive_timeout(TIMEOUT)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(16 << 10))
    }

    fn connector(
        &self,
    ) -> impl tower::Service<
        http::Uri,
        Response = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>,
        Error = std::io::Error,
        Future: Send,
    > + Send
    + 'static {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (address, name, tls) =
            (self.address.clone(), self.name.clone(), TlsConnector::from(Arc::new(tls)));
        tower::service_fn(move |_| {
            let (address, name, tls) = (address.clone(), name.clone(), tls.clone());
            async move {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                Ok(TokioIo::new(tls.connect(name, tcp).await?))
            }
        })
    }

    async fn connect(&self) -> Result<Channel, WireError> {
        let connecting = self.endpoint()?;
        let connecting = connecting.connect_with_connector(self.connector());
        connecting.await.map_err(|error| WireError::Connect(self.address.clone(), error))
    }

    async fn link(&self) -> Result<LinkClient<Channel>, WireError> {
        Ok(LinkClient::new(self.connect().await?).max_decoding_message_size(MAX_RESOURCE + ENVELOPE))
    }
}
