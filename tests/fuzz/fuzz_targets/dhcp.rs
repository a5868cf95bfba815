//! A guest's frames where DHCP is answered: an answer tells nothing but the lease, and is one that
//! another library reads.
#![no_main]

use dhcproto::{
    Decodable,
    v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mallee_fuzz::{
    domain::{interface::MacAddress, port_filter::Cidr},
    network::dhcp::{Lease, answer},
};
use std::net::Ipv4Addr;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let lease = Lease {
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        address: ADDRESS,
        subnet: Cidr::new(ADDRESS, 24).expect("24 is a prefix's length"),
        router: Some(SERVER),
        dns: vec![SERVER],
        server: SERVER,
        server_mac: MacAddress([2, 0, 0, 0, 0, 99]),
        mtu: 1400,
    };
    if let Some(answer) = answer(bytes, &lease) {
        assert_eq!(bytes[6..12], lease.mac.0);
        check(&answer, &lease);
    }
});

fn check(frame: &[u8], lease: &Lease) {
    // No longer than what every client takes (RFC 2131, section 2), behind its headers.
    assert!(frame.len() <= 14 + 20 + 8 + 576);
    assert_eq!(frame[6..12], lease.server_mac.0);
    assert!(frame[..6] == lease.mac.0 || frame[..6] == [0xff; 6]);
    let packet = SlicedPacket::from_ethernet(frame).expect("it is a UDP packet");
    let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("it is IPv4") };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("it is UDP") };
    assert_eq!(ip.header().source_addr(), SERVER);
    assert_eq!((udp.source_port(), udp.destination_port()), (67, 68));

    let message = Message::from_bytes(udp.payload()).expect("it is DHCP");
    assert_eq!(message.opcode(), Opcode::BootReply);
    assert_eq!(message.chaddr(), lease.mac.0);
    let kind = message.opts().msg_type().expect("it says what it is");
    let is_granted = matches!(kind, MessageType::Offer) || message.yiaddr() == ADDRESS;
    assert!(matches!(kind, MessageType::Offer | MessageType::Ack | MessageType::Nak));
    assert_eq!(message.yiaddr(), if is_granted { ADDRESS } else { Ipv4Addr::UNSPECIFIED });
    let server = message.opts().get(OptionCode::ServerIdentifier);
    assert_eq!(server, Some(&DhcpOption::ServerIdentifier(SERVER)));
    if kind == MessageType::Nak {
        assert_eq!(message.opts().get(OptionCode::Router), None);
    }
}
