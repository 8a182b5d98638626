//! What kubelet asks: who are you, put this there, take it away.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::proto::{self, identity_server, node_server, volume_capability::AccessType};
use super::volume::{VolumeError, Volumes};
use super::{Config, DRIVER};

/// Kubelet says `true` for inline volumes.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

pub(super) struct Driver {
    node: String,
    version: String,
    volumes: Arc<Volumes>,
}

impl Driver {
    pub(super) fn new(config: &Config) -> Self {
        let volumes = Volumes::new(&config.kubelet, &config.sockets);
        Self { node: config.node.clone(), version: config.version.clone(), volumes: Arc::new(volumes) }
    }

    /// Mounting waits for the kernel; it is done where waiting is allowed.
    async fn work(
        &self,
        target: String,
        work: fn(&Volumes, &Path) -> Result<(), VolumeError>,
    ) -> Result<(), Status> {
        let volumes = Arc::clone(&self.volumes);
        let done = tokio::task::spawn_blocking(move || work(&volumes, Path::new(&target))).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(status(&error)),
            Err(error) => Err(Status::internal(format!("mounting ended early: {error}"))),
        }
    }
}

#[tonic::async_trait]
impl identity_server::Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<proto::GetPluginInfoRequest>,
    ) -> Result<Response<proto::GetPluginInfoResponse>, Status> {
        Ok(Response::new(proto::GetPluginInfoResponse {
            name: DRIVER.into(),
            vendor_version: self.version.clone(),
            manifest: HashMap::new(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<proto::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<proto::GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(proto::GetPluginCapabilitiesResponse {}))
    }

    async fn probe(&self, _: Request<proto::ProbeRequest>) -> Result<Response<proto::ProbeResponse>, Status> {
        Ok(Response::new(proto::ProbeResponse { ready: Some(self.volumes.ready()) }))
    }
}

#[tonic::async_trait]
impl node_server::Node for Driver {
    async fn node_publish_volume(
        &self,
        request: Request<proto::NodePublishVolumeRequest>,
    ) -> Result<Response<proto::NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        check(&request)?;
        self.work(request.target_path, Volumes::publish).await?;
        tracing::info!(volume = request.volume_id, "Volume published");
        Ok(Response::new(proto::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<proto::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<proto::NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        given("volume_id", &request.volume_id)?;
        given("target_path", &request.target_path)?;
        self.work(request.target_path, Volumes::unpublish).await?;
        tracing::info!(volume = request.volume_id, "Volume unpublished");
        Ok(Response::new(proto::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<proto::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<proto::NodeGetCapabilitiesResponse>, Status> {
        Ok(Response::new(proto::NodeGetCapabilitiesResponse {}))
    }

    async fn node_get_info(
        &self,
        _: Request<proto::NodeGetInfoRequest>,
    ) -> Result<Response<proto::NodeGetInfoResponse>, Status> {
        Ok(Response::new(proto::NodeGetInfoResponse { node_id: self.node.clone(), max_volumes_per_node: 0 }))
    }
}

fn check(request: &proto::NodePublishVolumeRequest) -> Result<(), Status> {
    given("volume_id", &request.volume_id)?;
    given("target_path", &request.target_path)?;
    if request.volume_context.get(EPHEMERAL).is_none_or(|value| value != "true") {
        let text = format!(
            "{DRIVER} only has inline volumes: write `csi: {{driver: {DRIVER}}}` into the pod, not a PersistentVolume"
        );
        return Err(Status::invalid_argument(text));
    }
    match request.volume_capability.as_ref().and_then(|capability| capability.access_type.as_ref()) {
        Some(AccessType::Mount(_)) => Ok(()),
        Some(AccessType::Block(_)) => Err(Status::invalid_argument("a directory cannot be a block device")),
        None => Err(Status::invalid_argument("volume_capability is missing")),
    }
}

fn given(what: &str, value: &str) -> Result<(), Status> {
    if value.is_empty() { Err(Status::invalid_argument(format!("{what} is missing"))) } else { Ok(()) }
}

fn status(error: &VolumeError) -> Status {
    let text = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match error {
        VolumeError::Target(_) => Status::invalid_argument(text),
        VolumeError::Source(..) | VolumeError::Occupied(_) => Status::failed_precondition(text),
        VolumeError::Kernel { .. } => Status::internal(text),
    }
}
