use std::os::unix::fs::symlink;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::proto::{self, node_client::NodeClient, volume_capability::AccessType};
use super::registration_proto::{InfoRequest, RegistrationStatus, registration_client::RegistrationClient};
use super::*;

fn config(dir: &std::path::Path) -> Config {
    let kubelet = dir.join("kubelet");
    std::fs::create_dir_all(kubelet.join("pods")).expect("dir");
    std::fs::create_dir_all(dir.join("api")).expect("dir");
    Config { node: "node-1".into(), version: "0.1.0".into(), kubelet, sockets: dir.join("api") }
}

async fn channel(socket: PathBuf) -> Channel {
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await.expect("connected")
}

fn publish(target: &std::path::Path) -> proto::NodePublishVolumeRequest {
    proto::NodePublishVolumeRequest {
        volume_id: "csi-1".into(),
        target_path: target.display().to_string(),
        volume_capability: Some(proto::VolumeCapability {
            access_type: Some(AccessType::Mount(Default::default())),
            access_mode: None,
        }),
        volume_context: [("csi.storage.k8s.io/ephemeral".to_owned(), "true".to_owned())].into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn kubelet_registers_asks_and_is_refused_what_cannot_be() {
    let dir = tempfile::tempdir().expect("dir");
    let config = config(dir.path());
    let (status, told) = watch::channel(Registration::Waiting);
    let (close, closed) = oneshot::channel::<()>();
    let (endpoint, entry) = (config.endpoint(), config.registration());
    // Both sockets are bound at the first poll: joined, the client below runs after it.
    let served = serve(config.clone(), status, async move { drop(closed.await) });
    let kubelet = async {
        let mut registration = RegistrationClient::new(channel(entry.clone()).await);
        let info = registration.get_info(InfoRequest {}).await.expect("info").into_inner();
        assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", "csi.outis.dev"));
        assert_eq!(info.endpoint, endpoint.display().to_string());
        let refused = RegistrationStatus { plugin_registered: false, error: "no".into() };
        registration.notify_registration_status(refused).await.expect("told");
        assert_eq!(*told.borrow(), Registration::Refused("no".into()));

        let mut node = NodeClient::new(channel(endpoint.clone()).await);
        let info = node.node_get_info(proto::NodeGetInfoRequest {}).await.expect("info").into_inner();
        assert_eq!(info.node_id, "node-1");
        let good = config.kubelet.join("pods/u1/volumes/kubernetes.io~csi/v/mount");
        let mut persistent = publish(&good);
        persistent.volume_context.clear();
        let mut block = publish(&good);
        block.volume_capability = Some(proto::VolumeCapability {
            access_type: Some(AccessType::Block(Default::default())),
            access_mode: None,
        });
        let elsewhere = publish(std::path::Path::new("/etc"));
        for (request, text) in
            [(persistent, "only has inline"), (block, "block device"), (elsewhere, "/etc is not")]
        {
            let refused = node.node_publish_volume(request).await.expect_err(text);
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().contains(text), "{}", refused.message());
        }
        drop(close);
    };
    let (served, ()) = tokio::join!(served, kubelet);
    served.expect("clean");
    assert!(!endpoint.exists() && !entry.exists());
}

#[test]
fn only_kubelets_own_places_are_targets() {
    let dir = tempfile::tempdir().expect("dir");
    let config = config(dir.path());
    let volumes = Volumes::new(&config.kubelet, &config.sockets);
    let volume = config.kubelet.join("pods/u1/volumes/kubernetes.io~csi/v");
    std::fs::create_dir_all(&volume).expect("dir");
    std::fs::create_dir_all(dir.path().join("elsewhere/kubernetes.io~csi/v")).expect("dir");
    std::fs::create_dir_all(config.kubelet.join("pods/u2")).expect("dir");
    symlink(dir.path().join("elsewhere"), config.kubelet.join("pods/u2/volumes")).expect("link");
    symlink("/tmp", volume.join("mount")).expect("link");
    let pods = config.kubelet.join("pods");
    for target in [
        dir.path().join("kubelet/pods"),
        pods.join("u1/volumes/kubernetes.io~csi/v"),
        pods.join("u1/volumes/kubernetes.io~empty-dir/v/mount"),
        pods.join("u1/volumes/kubernetes.io~csi/../mount"),
        pods.join("u1/../u1/volumes/kubernetes.io~csi/v/mount"),
        pods.join("u1//volumes/kubernetes.io~csi/v/mount"),
        pods.join("u2/volumes/kubernetes.io~csi/v/mount"),
        pods.join("u1/volumes/kubernetes.io~csi/v/mount"),
    ] {
        let refused = volumes.publish(&target).expect_err(&target.display().to_string());
        assert!(matches!(refused, VolumeError::Target(_)), "{}: {refused}", target.display());
    }
    assert!(!dir.path().join("elsewhere/kubernetes.io~csi/v/mount").exists());
    let never = pods.join("u9/volumes/kubernetes.io~csi/v/mount");
    volumes.unpublish(&never).expect("nothing to take away");
}
