//! Fields of connect and accept events. Client and server follow from who called: the caller of
//! `connect` is the client, the caller of `accept` the server. An IPv4 address inside of an IPv6
//! socket is an IPv4 address.

use std::net::{IpAddr, SocketAddr};

use outis_model::event::{Socket, Transport, What};

use super::{Value, View};
use crate::field::Id;

fn canonical(end: Option<SocketAddr>) -> Option<SocketAddr> {
    end.map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()))
}

fn protocol(transport: Transport) -> Option<&'static str> {
    Some(match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Other(1 | 58) => "icmp",
        Transport::Other(255) => "raw",
        Transport::Other(_) => "na",
        Transport::Unknown => return None,
    })
}

/// What family a socket is of, as `fd.typechar` says it.
pub(crate) fn family(socket: &Socket) -> Option<&'static str> {
    match (canonical(socket.peer).or(canonical(socket.local)).map(|end| end.ip()), &socket.unix) {
        (Some(IpAddr::V4(_)), _) => Some("4"),
        (Some(IpAddr::V6(_)), _) => Some("6"),
        (None, Some(_)) => Some("u"),
        (None, None) => None,
    }
}

fn one(end: Option<SocketAddr>) -> Value<'static> {
    match end {
        Some(end) => Value::Ips(Some(end.ip()), None),
        None => Value::Missing,
    }
}

fn port(end: Option<SocketAddr>) -> Value<'static> {
    end.map(|end| u32::from(end.port())).into()
}

impl<'a> View<'a> {
    pub(super) fn socket(&self, id: Id) -> Value<'a> {
        use Id::*;
        let (socket, server) = match &self.event.what {
            What::Connect(socket) => (socket, false),
            What::Accept(socket) => (socket, true),
            _ => return Value::Missing,
        };
        let (local, remote) = (canonical(socket.local), canonical(socket.peer));
        let (client_end, server_end) = if server { (remote, local) } else { (local, remote) };
        match id {
            FdNum | EvtArgFd => socket.fd.into(),
            FdName => name(socket, client_end, server_end),
            FdType => family(socket)
                .map(|family| match family {
                    "4" => "ipv4",
                    "6" => "ipv6",
                    _ => "unix",
                })
                .into(),
            FdTypeChar => family(socket).into(),
            FdL4Proto => protocol(socket.transport).into(),
            FdIp | FdNet if local.or(remote).is_some() => {
                Value::Ips(local.map(|end| end.ip()), remote.map(|end| end.ip()))
            }
            FdPort if local.or(remote).is_some() => {
                Value::Ports(local.map(|end| end.port()), remote.map(|end| end.port()))
            }
            FdSip | FdSnet | FdSipName => one(server_end),
            FdCip | FdCnet | FdCipName => one(client_end),
            FdLip | FdLnet | FdLipName => one(local),
            FdRip | FdRnet | FdRipName => one(remote),
            FdSport | FdSproto => port(server_end),
            FdCport => port(client_end),
            FdLport => port(local),
            FdRport => port(remote),
            FdIsServer => server.into(),
            FdConnectIp if !server => one(remote),
            FdAcceptIp if server => one(remote),
            _ => Value::Missing,
        }
    }
}

fn name<'a>(socket: &'a Socket, client: Option<SocketAddr>, server: Option<SocketAddr>) -> Value<'a> {
    let text = |end: Option<SocketAddr>| end.map_or_else(|| "?".into(), |end| end.to_string());
    match (client, server, &socket.unix) {
        (None, None, unix) => unix.as_deref().into(),
        (client, server, _) => format!("{}->{}", text(client), text(server)).into(),
    }
}
