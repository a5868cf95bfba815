//! What guests say, as another library writes it.

use super::Seeds;
use dhcproto::{
    Encodable,
    v4::{DhcpOption, Flags, Message, MessageType},
};
use etherparse::{IpFragOffset, Ipv4Header, PacketBuilder, PacketBuilderStep, UdpHeader};
use mallee_fuzz::{
    domain::interface::MacAddress,
    network::ethernet::{Arp, BROADCAST, Discovery, Operation},
};
use std::net::{Ipv4Addr, Ipv6Addr};

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

pub fn seeds() -> Vec<Seeds> {
    vec![("ethernet", looked_at()), ("dhcp", dhcp_questions())]
}

pub fn looked_at() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("arp-request", arp(1, 2)),
        ("arp-announcement", arp(1, 1)),
        ("udp", udp()),
        ("tcp", tcp4(b"hello")),
        ("tcp-behind-a-vlan-tag", tagged(&tcp4(b"hello"))),
        ("icmp-echo", icmp()),
        ("icmp-error-about-a-flow", icmp_error()),
        ("first-fragment", fragment(0, true)),
        ("last-fragment", fragment(1, false)),
        ("tcp-over-ipv6", tcp6(b"hello")),
        ("neighbour-solicitation", solicitation()),
        ("neighbour-advertisement", advertisement()),
    ]
}

fn dhcp_questions() -> Vec<(&'static str, Vec<u8>)> {
    let own = DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 0, 1));
    let others = DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 0, 9));
    let elsewhere = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 8));
    let list = DhcpOption::ParameterRequestList(vec![1.into(), 3.into(), 6.into(), 26.into()]);
    vec![
        ("discover", dhcp(MessageType::Discover, vec![list])),
        ("request", dhcp(MessageType::Request, vec![own.clone()])),
        ("request-for-a-foreign-address", dhcp(MessageType::Request, vec![others])),
        ("request-to-another-server", dhcp(MessageType::Request, vec![own, elsewhere])),
        ("inform", dhcp(MessageType::Inform, vec![])),
        ("release", dhcp(MessageType::Release, vec![])),
    ]
}

pub fn dhcp_discovery() -> Vec<u8> {
    dhcp(MessageType::Discover, vec![])
}

fn dhcp(kind: MessageType, options: Vec<DhcpOption>) -> Vec<u8> {
    let mut message = Message::default();
    message.set_chaddr(&GUEST).set_xid(7).set_flags(Flags::default().set_broadcast());
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    let payload = message.to_vec().expect("its options are short");
    let step = PacketBuilder::ethernet2(GUEST, [0xff; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    written(step, |step, into| step.write(into, &payload))
}

pub fn arp(sender: u8, target: u8) -> Vec<u8> {
    let question = Arp {
        operation: Operation::Request,
        sender_mac: MacAddress(GUEST),
        sender: Ipv4Addr::new(10, 0, 0, sender),
        target_mac: MacAddress([0; 6]),
        target: Ipv4Addr::new(10, 0, 0, target),
    };
    question.frame(BROADCAST).to_vec()
}

/// The other station says that it could not take what the guest sent.
fn icmp_error() -> Vec<u8> {
    let about = udp();
    let step = PacketBuilder::ethernet2(OTHER, GUEST)
        .ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
        .icmpv4_raw(3, 4, [0, 0, 5, 0]);
    written(step, |step, into| step.write(into, &about[14..42]))
}

/// A part of a UDP datagram, in units of 8 bytes from its beginning.
pub fn fragment(offset: u16, more: bool) -> Vec<u8> {
    let mut ip = Ipv4Header::new(16, 64, etherparse::IpNumber::UDP, [10, 0, 0, 1], [10, 0, 0, 2])
        .expect("a fragment is short");
    ip.identification = 5;
    ip.dont_fragment = false;
    ip.more_fragments = more;
    ip.fragment_offset = IpFragOffset::try_new(offset).expect("a datagram is short");
    ip.header_checksum = ip.calc_header_checksum();
    let udp = UdpHeader { source_port: 5000, destination_port: 53, length: 24, checksum: 0 };
    let part = if offset == 0 { [udp.to_bytes(), [0x55; 8]].concat() } else { vec![0x55; 16] };
    let ethernet = [&OTHER[..], &GUEST, &[8, 0]].concat();
    [ethernet, ip.to_bytes().to_vec(), part].concat()
}

fn solicitation() -> Vec<u8> {
    let target = Ipv6Addr::from(link_local(2));
    let body = [&target.octets()[..], &[1, 1], &GUEST].concat();
    let step = PacketBuilder::ethernet2(GUEST, [0x33, 0x33, 0xff, 0, 0, 2])
        .ipv6(link_local(1), link_local(2), 255)
        .icmpv6_raw(135, 0, [0; 4]);
    written(step, |step, into| step.write(into, &body))
}

fn advertisement() -> Vec<u8> {
    let asker = (MacAddress(GUEST), Ipv6Addr::from(link_local(1)));
    Discovery::advertisement(Ipv6Addr::from(link_local(2)), MacAddress(OTHER), asker).to_vec()
}

pub fn udp() -> Vec<u8> {
    udp_of(8)
}

/// A frame of this length.
pub fn udp_of(length: usize) -> Vec<u8> {
    const HEADERS: usize = 14 + 20 + 8;
    let payload = vec![0x55; length.saturating_sub(HEADERS)];
    written(ipv4().udp(5000, 53), |step, into| step.write(into, &payload))
}

pub fn icmp() -> Vec<u8> {
    written(ipv4().icmpv4_echo_request(1, 1), |step, into| step.write(into, &[0x55; 8]))
}

pub fn tcp4(payload: &[u8]) -> Vec<u8> {
    written(ipv4().tcp(5000, 80, 1, 1000).ack(1).psh(), |step, into| step.write(into, payload))
}

pub fn tcp6(payload: &[u8]) -> Vec<u8> {
    let step = PacketBuilder::ethernet2(GUEST, OTHER)
        .ipv6(link_local(1), link_local(2), 64)
        .tcp(5000, 80, 1, 1000)
        .ack(1);
    written(step, |step, into| step.write(into, payload))
}

fn link_local(last: u8) -> [u8; 16] {
    [&[0xfe, 0x80][..], &[0; 13], &[last]].concat().try_into().expect("these are 16 bytes")
}

/// The answer to a frame of `udp`, with no regard to checksums.
pub fn back(frame: &[u8]) -> Vec<u8> {
    let mut back = frame.to_vec();
    for (place, length) in [(0, 6), (26, 4), (34, 2)] {
        let (first, second) = back[place..].split_at_mut(length);
        first.swap_with_slice(&mut second[..length]);
    }
    back
}

/// The frame behind a VLAN tag.
pub fn tagged(frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0, 0, 5], rest].concat()
}

fn ipv4() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(GUEST, OTHER).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
}

fn written<S, E: std::fmt::Debug>(
    step: S,
    write: impl FnOnce(S, &mut Vec<u8>) -> Result<(), E>,
) -> Vec<u8> {
    let mut frame = Vec::new();
    write(step, &mut frame).expect("a vector takes everything");
    frame
}
