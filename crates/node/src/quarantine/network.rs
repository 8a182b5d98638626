//! The node's links and addresses, by rtnetlink, in the network namespace we run in.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Messages of one answer at most; a node has hundreds of links.
const MESSAGES: usize = 65_536;

/// Our end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) name: String,
    /// Never given twice while it is there; a name may be.
    pub(super) index: u32,
}

/// Our end of the link that leads into a process's network namespace: of a veth pair whose other end is there. `None`
/// when it shares our namespace, or has no such link.
pub(super) fn link_to(pid: u32) -> io::Result<Option<End>> {
    // Asked first: telling about links gives numbers to the namespaces they lead to.
    let links = ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), true)?;
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Pid(pid));
    let answer = ask(RouteNetlinkMessage::GetNsId(question), false)?;
    let number = answer.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewNsId(found) => {
            found.attributes.iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(number) if *number >= 0 => Some(*number),
                _ => None,
            })
        }
        _ => None,
    });
    let Some(number) = number else { return Ok(None) };
    Ok(links.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => end_if_into(link, number),
        _ => None,
    }))
}

fn end_if_into(link: &LinkMessage, namespace: i32) -> Option<End> {
    let leads = link.attributes.contains(&LinkAttribute::LinkNetNsId(namespace));
    let name = |attribute: &LinkAttribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    };
    let name = link.attributes.iter().find_map(name).filter(|_| leads)?;
    Some(End { name, index: link.header.index })
}

/// All addresses of the node, both families, the loopback device's too.
pub(super) fn addresses() -> io::Result<Vec<IpAddr>> {
    let told = ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), true)?;
    let address = |message: &RouteNetlinkMessage| match message {
        RouteNetlinkMessage::NewAddress(found) => {
            // On point-to-point links `Address` is the other end and `Local` is ours.
            let local = found.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            local.or_else(|| {
                found.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => Some(*address),
                    _ => None,
                })
            })
        }
        _ => None,
    };
    Ok(told.iter().filter_map(address).collect())
}

/// Asks one thing; a dump is read to its end.
fn ask(question: RouteNetlinkMessage, dump: bool) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { NLM_F_ACK };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut told = Vec::new();
    while told.len() < MESSAGES {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = &received[..];
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = message.header.length as usize;
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => told.push(inner),
                NetlinkPayload::Done(_) => return Ok(told),
                // An acknowledgement is an error with number 0.
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(told),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // Each message begins at a multiple of four bytes.
            rest = rest.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
        }
    }
    Ok(told)
}
