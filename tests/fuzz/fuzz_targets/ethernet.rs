//! A frame as the switch looks at it: Ethernet, ARP, IPv4 with what is behind it, IPv6 with neighbour
//! discovery. Views lie within the frame, and say what another library says.
#![no_main]

use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use mallee_fuzz::{
    domain::interface::MacAddress,
    network::ethernet::{Content, Discovery, Ethernet, HEADER, Ipv4, Part, Transport},
};
use std::net::Ipv6Addr;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(frame) = Ethernet::read(bytes) else {
        assert!(bytes.len() < HEADER);
        return;
    };
    assert_eq!(frame.destination.0, bytes[..6]);
    assert_eq!(frame.source.0, bytes[6..12]);
    match frame.content {
        Content::Arp(arp) => {
            // Who says something of another is not what we write.
            if arp.sender_mac == frame.source {
                let written = arp.frame(frame.destination);
                assert_eq!(written, bytes[..written.len()]);
            }
        }
        Content::Ipv4(ip) => {
            assert!(ip.payload.len() + HEADER + 20 <= bytes.len());
            compare(bytes, &ip);
        }
        Content::Ipv6(ip) => {
            assert!(ip.payload.len() + HEADER + 40 <= bytes.len());
            if let Some(Discovery::Solicitation { target, .. }) = ip.discovery {
                answer(target, (frame.source, ip.source));
            }
        }
        Content::Other | Content::Malformed => {}
    }
});

/// What another library takes for the same packet has the same addresses and ports.
fn compare(bytes: &[u8], ip: &Ipv4<'_>) {
    let Ok(packet) = SlicedPacket::from_ethernet(bytes) else { return };
    let (Some(LinkSlice::Ethernet2(_)), Some(NetSlice::Ipv4(other))) = (packet.link, packet.net)
    else {
        return;
    };
    let header = other.header();
    assert_eq!((ip.source, ip.destination), (header.source_addr(), header.destination_addr()));
    assert_eq!(ip.part == Part::Whole, !header.is_fragmenting_payload());
    if ip.protocol != other.payload_ip_number().0 {
        // It looks behind an authentication header (RFC 4302). A filter does not.
        return;
    }
    match (ip.transport, &packet.transport) {
        (Transport::Tcp(tcp), Some(TransportSlice::Tcp(other))) => {
            assert_eq!(
                (tcp.source, tcp.destination),
                (other.source_port(), other.destination_port())
            );
            let flags = (other.syn(), other.ack(), other.fin(), other.rst());
            assert_eq!((tcp.syn, tcp.ack, tcp.fin, tcp.rst), flags);
        }
        (Transport::Udp { source, destination }, Some(TransportSlice::Udp(other))) => {
            assert_eq!((source, destination), (other.source_port(), other.destination_port()));
        }
        (read, Some(other @ (TransportSlice::Tcp(_) | TransportSlice::Udp(_)))) => {
            panic!("{other:?} is read as {read:?}");
        }
        _ => {}
    }
}

/// An answer to a question for an address is read as one.
fn answer(target: Ipv6Addr, asker: (MacAddress, Ipv6Addr)) {
    let holder = MacAddress([2, 0, 0, 0, 0, 9]);
    let frame = Discovery::advertisement(target, holder, asker);
    let read = Ethernet::read(&frame).expect("it has a header");
    let Content::Ipv6(ip) = read.content else { panic!("{read:?}") };
    let expected = Discovery::Advertisement { target, target_mac: Some(holder) };
    assert_eq!(ip.discovery, Some(expected));
}
