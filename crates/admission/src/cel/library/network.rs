//! `ip` and `cidr`: addresses and prefixes.

use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelString};
use cel::{DeclarationError, Env, ExecutionError, add_member_overload, add_overload};
use ipnet::IpNet;

use super::{failed, opaque};

type Outcome<T> = Result<T, ExecutionError>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ip(IpAddr);
opaque!(Ip, "net.IP");

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cidr(IpNet);
opaque!(Cidr, "net.CIDR");

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string")?;
    add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string")?;
    add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    add_member_overload!(env, fn contains_ip_text: (Cidr, CelString) -> Result<CelBool>, name = "containsIP")?;
    add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    add_member_overload!(env, fn contains_cidr_text: (Cidr, CelString) -> Result<CelBool>, name = "containsCIDR")?;
    add_member_overload!(env, fn address: (Cidr) -> Ip, name = "ip")?;
    add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)
}

/// Neither zones nor IPv4 addresses in IPv6 clothing, as upstream.
fn parsed(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()))
}

fn parsed_cidr(text: &str) -> Option<IpNet> {
    let net: IpNet = text.parse().ok()?;
    parsed(&net.addr().to_string()).map(|_| net)
}

fn ip(text: &CelString<'_>) -> Outcome<Ip> {
    parsed(text.inner()).map(Ip).ok_or_else(|| failed("ip", format!("{:?} is no IP address", text.inner())))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    parsed(text.inner()).is_some().into()
}

fn is_canonical(text: &CelString<'_>) -> Outcome<CelBool> {
    Ok((ip(text)?.0.to_string() == text.inner()).into())
}

fn ip_text(this: &Ip) -> CelString<'static> {
    this.0.to_string().into()
}

fn family(this: &Ip) -> CelInt {
    CelInt::from(if this.0.is_ipv4() { 4 } else { 6 })
}

fn is_unspecified(this: &Ip) -> CelBool {
    this.0.is_unspecified().into()
}

fn is_loopback(this: &Ip) -> CelBool {
    this.0.is_loopback().into()
}

fn link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(this: &Ip) -> CelBool {
    link_local_multicast(this.0).into()
}

fn is_link_local_unicast(this: &Ip) -> CelBool {
    link_local_unicast(this.0).into()
}

/// As Go has it: private addresses count, the IPv4 broadcast address does not.
fn is_global_unicast(this: &Ip) -> CelBool {
    let broadcast = matches!(this.0, IpAddr::V4(v4) if v4.is_broadcast());
    let special = this.0.is_unspecified() || this.0.is_loopback() || this.0.is_multicast();
    (!broadcast && !special && !link_local_unicast(this.0)).into()
}

fn cidr(text: &CelString<'_>) -> Outcome<Cidr> {
    parsed_cidr(text.inner())
        .map(Cidr)
        .ok_or_else(|| failed("cidr", format!("{:?} is no CIDR", text.inner())))
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    parsed_cidr(text.inner()).is_some().into()
}

fn cidr_text(this: &Cidr) -> CelString<'static> {
    this.0.to_string().into()
}

fn contains_ip(this: &Cidr, other: &Ip) -> CelBool {
    this.0.contains(&other.0).into()
}

fn contains_ip_text(this: &Cidr, other: &CelString<'_>) -> Outcome<CelBool> {
    Ok(contains_ip(this, &ip(other)?))
}

fn contains_cidr(this: &Cidr, other: &Cidr) -> CelBool {
    this.0.contains(&other.0).into()
}

fn contains_cidr_text(this: &Cidr, other: &CelString<'_>) -> Outcome<CelBool> {
    Ok(contains_cidr(this, &cidr(other)?))
}

fn address(this: &Cidr) -> Ip {
    Ip(this.0.addr())
}

fn masked(this: &Cidr) -> Cidr {
    Cidr(this.0.trunc())
}

fn prefix_length(this: &Cidr) -> CelInt {
    CelInt::from(i64::from(this.0.prefix_len()))
}
