//! `hostProbesAndHostLifecycle` - baseline.
//!
//! Reads `httpGet.host` and `tcpSocket.host` of every probe and lifecycle hook. Passes when they are
//! absent or empty: kubelet would send the request from the node to wherever they point.

use k8s_openapi::api::core::v1::{HTTPGetAction, TCPSocketAction};
use outis_api::admission_policy::PodSecurityLevel;

use crate::pod_security::{Check, Container, Failure, Minor, Pod, Variant};

pub(super) const CHECK: Check = Check {
    id: "hostProbesAndHostLifecycle",
    level: PodSecurityLevel::Baseline,
    replaces: None,
    variants: &[Variant { since: Minor(34), judge }],
};

fn judge(pod: &Pod<'_>) -> Vec<Failure> {
    pod.containers().flat_map(|container| hosts(pod, &container)).collect()
}

fn hosts(pod: &Pod<'_>, container: &Container<'_>) -> Vec<Failure> {
    let probes = container.probes.iter().filter_map(|(field, probe)| {
        probe.map(|probe| ((*field).to_owned(), probe.http_get.as_ref(), probe.tcp_socket.as_ref()))
    });
    let hooks = container.lifecycle.into_iter().flat_map(|lifecycle| {
        [("postStart", lifecycle.post_start.as_ref()), ("preStop", lifecycle.pre_stop.as_ref())]
    });
    let hooks = hooks.filter_map(|(field, handler)| {
        handler.map(|h| (format!("lifecycle.{field}"), h.http_get.as_ref(), h.tcp_socket.as_ref()))
    });
    probes
        .chain(hooks)
        .flat_map(|(field, http, tcp)| {
            named(http, tcp).map(move |(action, host)| (format!("{field}.{action}.host"), host))
        })
        .map(|(field, host)| {
            Failure::new(
                container.place(pod, &field),
                format!("the node would send the request of container {:?} to {host:?}", container.name),
                "remove host, so that the request goes to the pod itself",
            )
        })
        .collect()
}

fn named<'a>(
    http: Option<&'a HTTPGetAction>,
    tcp: Option<&'a TCPSocketAction>,
) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
    let http = http.and_then(|action| action.host.as_deref()).map(|host| ("httpGet", host));
    let tcp = tcp.and_then(|action| action.host.as_deref()).map(|host| ("tcpSocket", host));
    http.into_iter().chain(tcp).filter(|(_, host)| !host.is_empty())
}
