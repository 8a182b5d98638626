//! Kubelet asks who we are, then tells what it made of it.

use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::registration_proto::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse, registration_server,
};
use super::{Config, DRIVER, Registration};

pub(super) struct Registrar {
    endpoint: String,
    status: watch::Sender<Registration>,
}

impl Registrar {
    pub(super) fn new(config: &Config, status: watch::Sender<Registration>) -> Self {
        Self { endpoint: config.endpoint().display().to_string(), status }
    }
}

#[tonic::async_trait]
impl registration_server::Registration for Registrar {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".into(),
            name: DRIVER.into(),
            endpoint: self.endpoint.clone(),
            supported_versions: vec!["1.0.0".into()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let told = request.into_inner();
        let status = if told.plugin_registered {
            tracing::info!(driver = DRIVER, "Registered with kubelet");
            Registration::Registered
        } else {
            tracing::error!(driver = DRIVER, error = told.error, "Kubelet refused the driver");
            Registration::Refused(told.error)
        };
        self.status.send_replace(status);
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
