//! DHCP, answered per port: each interface has one address and is offered exactly that.
//!
//! `answer` is a pure function from a frame to the frame that answers it. There is no pool, nothing
//! is remembered, and no address is probed before it is offered: the cloud alone gives addresses
//! out. Leases never end, because an interface's address never changes; a guest so keeps its
//! address even while no process of ours is there to renew it.
//!
//! Relayed and BOOTP requests are not answered.

use crate::domain::{interface::MacAddress, port_filter::Cidr};
use dhcproto::{
    Decodable, Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode},
};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use std::net::Ipv4Addr;

/// What one interface is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub mac: MacAddress,
    pub address: Ipv4Addr,
    pub subnet: Cidr,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    /// Who answers: the gateway, or on a wire without one the address a gateway would have.
    pub server: Ipv4Addr,
    pub server_mac: MacAddress,
    pub mtu: u16,
}

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// Where a message's options begin, after the four bytes that say so.
const OPTIONS: usize = 240;
const FOR_EVER: u32 = u32::MAX;
/// Old clients take nothing shorter than a BOOTP message.
const SHORTEST_MESSAGE: usize = 300;
const TTL: u8 = 64;

/// The frame to send back out of the port, if the frame that came out of it asks for one.
pub fn answer(frame: &[u8], lease: &Lease) -> Option<Vec<u8>> {
    let request = request(frame, lease)?;
    let reply = reply(&request, lease)?;
    let mut message = Vec::new();
    reply.encode(&mut dhcproto::v4::Encoder::new(&mut message)).ok()?;
    message.resize(message.len().max(SHORTEST_MESSAGE), 0);

    let (mac, address) = destination(&request, &reply);
    let builder = PacketBuilder::ethernet2(lease.server_mac.0, mac)
        .ipv4(lease.server.octets(), address.octets(), TTL)
        .udp(SERVER_PORT, CLIENT_PORT);
    let mut frame = Vec::with_capacity(builder.size(message.len()));
    builder.write(&mut frame, &message).ok()?;
    Some(frame)
}

/// A client's message from the interface itself, on behalf of nobody else.
fn request(frame: &[u8], lease: &Lease) -> Option<Message> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    if udp.destination_port() != SERVER_PORT || udp.source_port() != CLIENT_PORT {
        return None;
    }
    let request = Message::from_bytes(&plain(udp.payload())?).ok()?;
    let its_own = request.opcode() == Opcode::BootRequest
        && request.giaddr().is_unspecified()
        // `chaddr` would cut out of bounds for a length of its own making.
        && request.hlen() == 6
        && request.chaddr() == lease.mac.0
        && frame.get(6..12) == Some(lease.mac.0.as_slice());
    its_own.then_some(request)
}

/// The message with the few options that we read, each once and of the length it must have. The
/// decoder has opinions about the others, and panics when a guest does not share them.
fn plain(message: &[u8]) -> Option<Vec<u8>> {
    let (header, mut options) = message.split_at_checked(OPTIONS)?;
    let mut wanted = vec![
        (OptionCode::MessageType, 1),
        (OptionCode::RequestedIpAddress, 4),
        (OptionCode::ServerIdentifier, 4),
    ];
    let mut plain = header.to_vec();
    while let Some((&code, rest)) = options.split_first() {
        options = match OptionCode::from(code) {
            OptionCode::Pad => rest,
            OptionCode::End => break,
            code => {
                let (&length, rest) = rest.split_first()?;
                let (body, rest) = rest.split_at_checked(usize::from(length))?;
                if let Some(place) = wanted.iter().position(|known| *known == (code, body.len())) {
                    wanted.remove(place);
                    plain.extend([u8::from(code), length]);
                    plain.extend(body);
                }
                rest
            }
        };
    }
    plain.push(OptionCode::End.into());
    Some(plain)
}

fn reply(request: &Message, lease: &Lease) -> Option<Message> {
    let asked_for = match request.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => *address,
        _ => request.ciaddr(),
    };
    let elsewhere = matches!(
        request.opts().get(OptionCode::ServerIdentifier),
        Some(DhcpOption::ServerIdentifier(server)) if *server != lease.server
    );
    match request.opts().msg_type()? {
        MessageType::Discover => Some(grant(request, lease, MessageType::Offer)),
        // The client has chosen another server's offer; we hold nothing that needs to be freed.
        MessageType::Request if elsewhere => None,
        MessageType::Request if asked_for == lease.address => {
            Some(grant(request, lease, MessageType::Ack))
        }
        MessageType::Request => Some(addressed(request, lease, MessageType::Nak)),
        MessageType::Inform => {
            let mut reply = addressed(request, lease, MessageType::Ack);
            advise(&mut reply, lease);
            Some(reply)
        }
        // A release and a decline expect no answer, and change nothing.
        _ => None,
    }
}

fn addressed(request: &Message, lease: &Lease, kind: MessageType) -> Message {
    let mut reply = Message::default();
    reply
        .set_opcode(Opcode::BootReply)
        .set_htype(request.htype())
        .set_xid(request.xid())
        .set_flags(request.flags())
        .set_chaddr(request.chaddr());
    reply.opts_mut().insert(DhcpOption::MessageType(kind));
    reply.opts_mut().insert(DhcpOption::ServerIdentifier(lease.server));
    reply
}

fn grant(request: &Message, lease: &Lease, kind: MessageType) -> Message {
    let mut reply = addressed(request, lease, kind);
    reply.set_ciaddr(request.ciaddr()).set_yiaddr(lease.address);
    reply.opts_mut().insert(DhcpOption::AddressLeaseTime(FOR_EVER));
    advise(&mut reply, lease);
    reply
}

fn advise(reply: &mut Message, lease: &Lease) {
    let [a, b, c, d] = lease.address.octets();
    let options = reply.opts_mut();
    options.insert(DhcpOption::SubnetMask(lease.subnet.netmask()));
    options.insert(DhcpOption::Hostname(format!("ip-{a}-{b}-{c}-{d}")));
    options.insert(DhcpOption::InterfaceMtu(lease.mtu));
    if let Some(router) = lease.router {
        options.insert(DhcpOption::Router(vec![router]));
    }
    if !lease.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(lease.dns.clone()));
    }
}

/// RFC 2131, 4.1: to the address the client has; else by broadcast where it must be or was asked
/// for; else to the address it is about to have.
fn destination(request: &Message, reply: &Message) -> ([u8; 6], Ipv4Addr) {
    const EVERYBODY: ([u8; 6], Ipv4Addr) = ([0xff; 6], Ipv4Addr::BROADCAST);
    let mut mac = [0; 6];
    mac.copy_from_slice(&reply.chaddr()[..6]);
    if reply.opts().msg_type() == Some(MessageType::Nak) {
        EVERYBODY
    } else if !request.ciaddr().is_unspecified() {
        (mac, request.ciaddr())
    } else if wants_broadcast(request.flags()) || reply.yiaddr().is_unspecified() {
        EVERYBODY
    } else {
        (mac, reply.yiaddr())
    }
}

fn wants_broadcast(flags: Flags) -> bool {
    flags.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        collection::vec,
        prelude::{Strategy, any},
        test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
    };

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 4);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);

    fn lease() -> Lease {
        Lease {
            mac: MAC,
            address: ADDRESS,
            subnet: "10.213.0.0/16".parse().unwrap(),
            router: Some(GATEWAY),
            dns: vec![Ipv4Addr::new(192, 0, 2, 53)],
            server: GATEWAY,
            server_mac: MacAddress([2, 0, 0, 0, 0, 99]),
            mtu: 1500,
        }
    }

    fn message(kind: MessageType, options: &[DhcpOption]) -> Message {
        let mut message = Message::default();
        message.set_opcode(Opcode::BootRequest).set_xid(7).set_chaddr(&MAC.0);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in options {
            message.opts_mut().insert(option.clone());
        }
        message
    }

    fn frame(message: &Message, mac: MacAddress) -> Vec<u8> {
        let payload = message.to_vec().unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(mac.0, [0xff; 6])
            .ipv4([0; 4], [255; 4], TTL)
            .udp(CLIENT_PORT, SERVER_PORT)
            .write(&mut frame, &payload)
            .unwrap();
        frame
    }

    /// The answer, with the Ethernet and IP addresses it goes to.
    fn ask(message: &Message) -> Option<(Message, [u8; 6], Ipv4Addr)> {
        let frame = answer(&frame(message, MAC), &lease())?;
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("no ip") };
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no udp") };
        assert_eq!((udp.source_port(), udp.destination_port()), (67, 68));
        assert!(udp.payload().len() >= SHORTEST_MESSAGE);
        let reply = Message::from_bytes(udp.payload()).unwrap();
        assert_eq!(reply.xid(), 7);
        Some((reply, frame[..6].try_into().unwrap(), ip.header().destination_addr()))
    }

    #[test]
    fn a_discovery_is_offered_the_interfaces_own_address_and_all_that_goes_with_it() {
        let (offer, mac, ip) = ask(&message(MessageType::Discover, &[])).unwrap();
        assert_eq!((offer.yiaddr(), mac, ip), (ADDRESS, MAC.0, ADDRESS));
        let expected = [
            DhcpOption::MessageType(MessageType::Offer),
            DhcpOption::ServerIdentifier(GATEWAY),
            DhcpOption::AddressLeaseTime(u32::MAX),
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 0, 0)),
            DhcpOption::Router(vec![GATEWAY]),
            DhcpOption::DomainNameServer(vec![Ipv4Addr::new(192, 0, 2, 53)]),
            DhcpOption::Hostname("ip-10-213-0-4".to_owned()),
            DhcpOption::InterfaceMtu(1500),
        ];
        for option in expected {
            assert_eq!(offer.opts().get(OptionCode::from(&option)), Some(&option));
        }
    }

    #[test]
    fn a_private_wire_offers_neither_router_nor_dns() {
        let lease = Lease { router: None, dns: Vec::new(), ..lease() };
        let reply = reply(&message(MessageType::Discover, &[]), &lease).unwrap();
        assert!(reply.opts().get(OptionCode::Router).is_none());
        assert!(reply.opts().get(OptionCode::DomainNameServer).is_none());
    }

    #[test]
    fn the_broadcast_flag_is_honoured() {
        let mut discover = message(MessageType::Discover, &[]);
        discover.set_flags(Flags::default().set_broadcast());
        let (_, mac, ip) = ask(&discover).unwrap();
        assert_eq!((mac, ip), ([0xff; 6], Ipv4Addr::BROADCAST));
    }

    #[test]
    fn a_request_for_the_right_address_is_granted_and_for_a_wrong_one_refused() {
        let right = message(MessageType::Request, &[DhcpOption::RequestedIpAddress(ADDRESS)]);
        let (ack, ..) = ask(&right).unwrap();
        assert!(ack.opts().has_msg_type(MessageType::Ack));
        assert_eq!(ack.yiaddr(), ADDRESS);

        let wrong = message(MessageType::Request, &[DhcpOption::RequestedIpAddress(GATEWAY)]);
        let (nak, mac, ip) = ask(&wrong).unwrap();
        assert!(nak.opts().has_msg_type(MessageType::Nak));
        assert_eq!(
            (nak.yiaddr(), mac, ip),
            (Ipv4Addr::UNSPECIFIED, [0xff; 6], Ipv4Addr::BROADCAST)
        );
    }

    #[test]
    fn a_renewal_is_answered_where_the_client_lives() {
        let mut renewal = message(MessageType::Request, &[]);
        renewal.set_ciaddr(ADDRESS);
        let (ack, mac, ip) = ask(&renewal).unwrap();
        assert!(ack.opts().has_msg_type(MessageType::Ack));
        assert_eq!((mac, ip), (MAC.0, ADDRESS));
    }

    #[test]
    fn an_inform_is_advised_without_a_lease() {
        let mut inform = message(MessageType::Inform, &[]);
        inform.set_ciaddr(ADDRESS);
        let (ack, ..) = ask(&inform).unwrap();
        assert!(ack.yiaddr().is_unspecified());
        assert!(ack.opts().get(OptionCode::AddressLeaseTime).is_none());
        assert!(ack.opts().get(OptionCode::Router).is_some());
    }

    #[test]
    fn what_asks_for_nothing_from_us_gets_no_answer() {
        let elsewhere = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 213, 0, 9));
        assert!(ask(&message(MessageType::Request, &[elsewhere])).is_none());
        assert!(ask(&message(MessageType::Release, &[])).is_none());
        assert!(ask(&message(MessageType::Decline, &[])).is_none());
        let mut relayed = message(MessageType::Discover, &[]);
        relayed.set_giaddr(GATEWAY);
        assert!(ask(&relayed).is_none());
        let mut reply = message(MessageType::Offer, &[]);
        reply.set_opcode(Opcode::BootReply);
        assert!(ask(&reply).is_none());
    }

    #[test]
    fn another_stations_request_gets_no_answer() {
        let discover = message(MessageType::Discover, &[]);
        assert!(answer(&frame(&discover, MacAddress([2, 0, 0, 0, 0, 2])), &lease()).is_none());
        let mut borrowed = message(MessageType::Discover, &[]);
        borrowed.set_chaddr(&[2, 0, 0, 0, 0, 2]);
        assert!(answer(&frame(&borrowed, MAC), &lease()).is_none());
    }

    #[test]
    fn an_option_of_a_wrong_length_is_passed_over() {
        let good = message(MessageType::Discover, &[]).to_vec().unwrap();
        // Rapid commit with a body, a status code without enough of one, and an address cut short.
        for odd in [&[80, 1, 0][..], &[152, 5, 0, 0, 0, 0, 0], &[50, 3, 10, 213, 0]] {
            let options = [&good[..OPTIONS], odd, &[53, 1, 1, 255]].concat();
            let read = Message::from_bytes(&plain(&options).unwrap()).unwrap();
            assert!(read.opts().has_msg_type(MessageType::Discover), "{odd:?}");
            assert!(reply(&read, &lease()).is_some());
        }
        let cut_short = [&good[..OPTIONS], &[53, 1]].concat();
        assert_eq!(plain(&cut_short), None);
    }

    /// The same ten thousand cases each time; a failure is shown at its smallest.
    fn for_many<S: Strategy>(strategy: &S, check: impl Fn(S::Value)) {
        let config = Config { cases: 10_000, failure_persistence: None, ..Config::default() };
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
        let mut runner = TestRunner::new_with_rng(config, chance);
        let checked = runner.run(strategy, |value| {
            check(value);
            Ok(())
        });
        checked.unwrap();
    }

    #[test]
    fn no_bytes_make_it_fall_over() {
        for_many(&vec(any::<u8>(), 0..600), |bytes| {
            assert!(answer(&bytes, &lease()).is_none() || bytes.len() > 240);
        });
    }

    #[test]
    fn no_damage_to_a_good_request_makes_it_fall_over() {
        let damage = vec((0usize..320, any::<u8>()), 1..20);
        for_many(&(damage, 0usize..320), |(damage, length)| {
            let mut frame = frame(&message(MessageType::Discover, &[]), MAC);
            for (at, byte) in damage {
                if let Some(slot) = frame.get_mut(at) {
                    *slot = byte;
                }
            }
            frame.truncate(length);
            answer(&frame, &lease());
        });
    }

    #[test]
    fn no_options_make_it_fall_over_or_tell_anything_but_the_lease() {
        // Well formed as far as the options, so that it is they that are read: known numbers with
        // bodies of any length, then anything.
        let option = (0u8..=255, vec(any::<u8>(), 0..40));
        for_many(&(vec(option, 0..12), vec(any::<u8>(), 0..30)), |(options, rest)| {
            let header = message(MessageType::Discover, &[]).to_vec().unwrap();
            let mut payload = header[..240].to_vec();
            payload.extend([53, 1, 1 + (rest.len() % 8) as u8]);
            for (number, body) in options {
                payload.extend([number, body.len() as u8]);
                payload.extend(body);
            }
            payload.extend(rest);
            let mut frame = Vec::new();
            PacketBuilder::ethernet2(MAC.0, [0xff; 6])
                .ipv4([0; 4], [255; 4], TTL)
                .udp(CLIENT_PORT, SERVER_PORT)
                .write(&mut frame, &payload)
                .unwrap();
            let Some(frame) = answer(&frame, &lease()) else { return };
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no udp") };
            let reply = Message::from_bytes(udp.payload()).unwrap();
            assert!(reply.yiaddr() == ADDRESS || reply.yiaddr().is_unspecified());
            assert_eq!(&frame[6..12], &lease().server_mac.0);
        });
    }
}
