//! Four gates around one pod: both ways at its cgroup, both ways at the node's end of its link. Loaded once per
//! quarantined pod, attached to nothing before a verdict: who is not quarantined pays nothing.
//!
//! The cgroup's gates see what sockets of the pod send and get, whichever container, restarted or ephemeral, made them.
//! The link's see what has no socket: answers the kernel itself gives, frames of packet sockets. Kernels: cgroup_skb 4.10,
//! tcx 6.6. Tried on 6.18.
//!
//! What passes: kubelet's probes, so that a confined container is not restarted for failing them (its evidence would be
//! gone), and what finding a neighbour takes. Nothing else to or from anybody, the node included.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "the atomic addition of `add`")]

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut, read_volatile};

use aya_ebpf::bindings::{__sk_buff, bpf_sock_tuple};
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_boot_ns, bpf_sk_release, bpf_skb_load_bytes_relative, bpf_skc_lookup_tcp,
};
use aya_ebpf::macros::{cgroup_skb, classifier, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::{SkBuffContext, TcContext};
use outis_abi::{Confinement, GATES, Gate, NODE_ADDRESSES, PROBE_PORTS, Stopped};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program that could get here.
    loop {}
}

#[map]
static CONFINEMENT: Array<Confinement> = Array::with_max_entries(1, 0);
/// Addresses of the node, IPv4 mapped into IPv6.
#[map]
static NODE: HashMap<[u8; 16], u8> = HashMap::with_max_entries(NODE_ADDRESSES, 0);
#[map]
static STOPPED: Array<Stopped> = Array::with_max_entries(GATES as u32, 0);

/// The loopback device has this index in every network namespace.
const LOOPBACK: u32 = 1;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
const ACK: u8 = 0x10;
/// BPF_HDR_START_NET.
const FROM_NETWORK_HEADER: u32 = 1;
/// BPF_F_CURRENT_NETNS, as the helper's argument.
const THIS_NETNS: u64 = u64::MAX;
/// TCP_LISTEN.
const LISTENING: u32 = 10;

#[cgroup_skb]
pub fn cgroup_in(ctx: SkBuffContext) -> i32 {
    i32::from(passes(ctx.skb.skb, Gate::CgroupIn))
}

#[cgroup_skb]
pub fn cgroup_out(ctx: SkBuffContext) -> i32 {
    i32::from(passes(ctx.skb.skb, Gate::CgroupOut))
}

/// TC_ACT_UNSPEC, which is TCX_NEXT: whoever comes next decides.
const NEXT: i32 = -1;
/// TC_ACT_SHOT.
const SHOT: i32 = 2;

#[classifier]
pub fn link_in(ctx: TcContext) -> i32 {
    if passes(ctx.skb.skb, Gate::LinkIn) { NEXT } else { SHOT }
}

#[classifier]
pub fn link_out(ctx: TcContext) -> i32 {
    if passes(ctx.skb.skb, Gate::LinkOut) { NEXT } else { SHOT }
}

#[inline(always)]
fn passes(skb: *mut __sk_buff, gate: Gate) -> bool {
    let Some(confinement) = CONFINEMENT.get_ptr(0) else { return true };
    // SAFETY: the map's one value; volatile because user space arms it while we run.
    if unsafe { read_volatile(addr_of!((*confinement).armed)) } == 0 {
        return true;
    }
    let at_link = matches!(gate, Gate::LinkIn | Gate::LinkOut);
    // SAFETY: the context of a packet, whose fields the verifier checks; as everywhere below.
    let (device, protocol) = unsafe { ((*skb).ifindex, u16::from_be((*skb).protocol as u16)) };
    // SAFETY: as above.
    if !at_link && device == LOOPBACK && unsafe { (*confinement).loopback } != 0 {
        return true;
    }
    let inward = matches!(gate, Gate::CgroupIn | Gate::LinkIn);
    let passes = match protocol {
        IPV4 => of_ipv4(skb, confinement, inward, at_link),
        IPV6 => of_ipv6(skb, confinement, inward, at_link),
        ARP => at_link && of_arp(skb, inward),
        _ => false,
    };
    if !passes {
        count(skb, gate);
    }
    passes
}

#[inline(always)]
fn count(skb: *mut __sk_buff, gate: Gate) {
    let Some(stopped) = STOPPED.get_ptr_mut(gate as u32) else { return };
    // SAFETY: no arguments; then fields of the map's value. Two first packets at the same instant on two processors may
    // each write their time: they differ by less than it takes to read one.
    unsafe {
        let now = bpf_ktime_get_boot_ns();
        if read_volatile(addr_of!((*stopped).first)) == 0 {
            addr_of_mut!((*stopped).first).write_volatile(now);
        }
        addr_of_mut!((*stopped).last).write_volatile(now);
        add(addr_of_mut!((*stopped).packets), 1);
        add(addr_of_mut!((*stopped).bytes), u64::from((*skb).len));
    }
}

/// An intrinsic for the reason given at `out::next`.
#[inline(always)]
unsafe fn add(counter: *mut u64, more: u64) {
    // SAFETY: the caller's counter, which is aligned and changed only atomically.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, more) };
}

/// Bytes of a packet from its network header on.
#[inline(always)]
fn load<T: Copy>(skb: *mut __sk_buff, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr().cast();
    // SAFETY: the helper fills the value or fails; `T` is an array of bytes.
    unsafe {
        let done = bpf_skb_load_bytes_relative(skb.cast(), offset, to, size_of::<T>() as u32, FROM_NETWORK_HEADER);
        (done == 0).then(|| value.assume_init())
    }
}

#[inline(always)]
fn of_node(address: &[u8; 16]) -> bool {
    // SAFETY: only whether it is there is asked.
    unsafe { NODE.get(address) }.is_some()
}

#[inline(always)]
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[inline(always)]
fn of_ipv4(skb: *mut __sk_buff, confinement: *const Confinement, inward: bool, at_link: bool) -> bool {
    let Some(head) = load::<[u8; 20]>(skb, 0) else { return false };
    // Only a whole packet or a first fragment says which port it is for.
    let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x1fff;
    if head[9] != TCP || fragment != 0 {
        return false;
    }
    let source = [head[12], head[13], head[14], head[15]];
    let target = [head[16], head[17], head[18], head[19]];
    if !of_node(&mapped(if inward { source } else { target })) {
        return false;
    }
    let Some(tcp) = load::<[u8; 14]>(skb, u32::from(head[0] & 0xf) * 4) else { return false };
    if !probed(confinement, &tcp, inward) {
        return false;
    }
    if !at_link {
        return true;
    }
    if inward {
        return made_here(skb);
    }
    let mut tuple = MaybeUninit::<bpf_sock_tuple>::zeroed();
    // SAFETY: all bytes are set; its IPv4 half is written.
    let tuple = unsafe {
        let half = addr_of_mut!((*tuple.as_mut_ptr()).__bindgen_anon_1.ipv4);
        (*half).saddr = u32::from_ne_bytes(source);
        (*half).daddr = u32::from_ne_bytes(target);
        (*half).sport = u16::from_ne_bytes([tcp[0], tcp[1]]);
        (*half).dport = u16::from_ne_bytes([tcp[2], tcp[3]]);
        tuple.as_mut_ptr()
    };
    awaited(skb, tuple, 12)
}

#[inline(always)]
fn of_ipv6(skb: *mut __sk_buff, confinement: *const Confinement, inward: bool, at_link: bool) -> bool {
    let Some(head) = load::<[u8; 40]>(skb, 0) else { return false };
    let (mut source, mut target) = ([0; 16], [0; 16]);
    let mut at = 0;
    while at < 16 {
        (source[at], target[at]) = (head[8 + at], head[24 + at]);
        at += 1;
    }
    if head[6] == ICMPV6 {
        // Nobody has passed it on, and nothing hides behind it: 24 bytes and one option with a link's address.
        let short = u16::from_be_bytes([head[4], head[5]]) <= 32 && head[7] == 255;
        return at_link && short && of_neighbour(skb, &source, &target, inward);
    }
    // Behind extension headers nothing is looked for: probes have none.
    if head[6] != TCP || !of_node(if inward { &source } else { &target }) {
        return false;
    }
    let Some(tcp) = load::<[u8; 14]>(skb, 40) else { return false };
    if !probed(confinement, &tcp, inward) {
        return false;
    }
    if !at_link {
        return true;
    }
    if inward {
        return made_here(skb);
    }
    let mut tuple = MaybeUninit::<bpf_sock_tuple>::zeroed();
    // SAFETY: all bytes are set; its IPv6 half is written.
    let tuple = unsafe {
        let half = addr_of_mut!((*tuple.as_mut_ptr()).__bindgen_anon_1.ipv6);
        (*half).saddr = core::mem::transmute::<[u8; 16], [u32; 4]>(source);
        (*half).daddr = core::mem::transmute::<[u8; 16], [u32; 4]>(target);
        (*half).sport = u16::from_ne_bytes([tcp[0], tcp[1]]);
        (*half).dport = u16::from_ne_bytes([tcp[2], tcp[3]]);
        tuple.as_mut_ptr()
    };
    awaited(skb, tuple, 36)
}

/// Whether a segment belongs to a connection the node makes to a probed port; of those the pod may only answer.
#[inline(always)]
fn probed(confinement: *const Confinement, tcp: &[u8; 14], inward: bool) -> bool {
    let port = if inward { [tcp[2], tcp[3]] } else { [tcp[0], tcp[1]] };
    let port = u16::from_be_bytes(port);
    if !inward && tcp[13] & ACK == 0 {
        return false;
    }
    // SAFETY: the map's value; the index is below its array's end.
    let count = unsafe { (*confinement).count };
    let mut at = 0;
    while at < PROBE_PORTS {
        if at as u32 >= count {
            break;
        }
        if unsafe { (*confinement).ports[at] } == port {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether a socket of the node made this packet. One that is only passed on has none here: somebody else's, hidden
/// behind the node's address.
#[inline(always)]
fn made_here(skb: *mut __sk_buff) -> bool {
    // SAFETY: a field of the context; it is compared, not followed.
    unsafe { !(*skb).__bindgen_anon_2.sk.is_null() }
}

/// Whether a socket of the node has the other end: an answer to somebody hidden behind the node's address has none.
#[inline(always)]
fn awaited(skb: *mut __sk_buff, tuple: *mut bpf_sock_tuple, size: u32) -> bool {
    // SAFETY: the tuple has that size; the socket that is found is given back.
    unsafe {
        let socket = bpf_skc_lookup_tcp(skb.cast(), tuple, size, THIS_NETNS, 0);
        if socket.is_null() {
            return false;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        state != LISTENING
    }
}

/// A question or answer about who has an address, between the pod and the node.
#[inline(always)]
fn of_arp(skb: *mut __sk_buff, inward: bool) -> bool {
    let Some(arp) = load::<[u8; 28]>(skb, 0) else { return false };
    // The shortest frame there is: behind it nothing hides but its padding.
    // SAFETY: a field of the context.
    if unsafe { (*skb).len } > 60 {
        return false;
    }
    let sender = [arp[14], arp[15], arp[16], arp[17]];
    let asked = [arp[24], arp[25], arp[26], arp[27]];
    of_node(&mapped(if inward { sender } else { asked }))
}

/// The same in IPv6: neighbour solicitations and advertisements (RFC 4861) between the pod and the node, and those to a
/// multicast group that ask about the node.
#[inline(always)]
fn of_neighbour(skb: *mut __sk_buff, source: &[u8; 16], target: &[u8; 16], inward: bool) -> bool {
    let Some(icmp) = load::<[u8; 24]>(skb, 40) else { return false };
    if icmp[0] != 135 && icmp[0] != 136 {
        return false;
    }
    let mut about = [0; 16];
    let mut at = 0;
    while at < 16 {
        about[at] = icmp[8 + at];
        at += 1;
    }
    match inward {
        true => of_node(source),
        false => of_node(target) || target[0] == 0xff && target[1] == 0x02 && of_node(&about),
    }
}
