//! DHCP, asked by a real client.

use crate::guest::{Guest, Host, egress, private, public};
use dhcproto::{
    Decodable, Encodable,
    v4::{DhcpOption, Message, MessageType, Opcode},
};
use mallee::domain::interface::{InterfaceSpec, MacAddress};
use std::{
    net::{Ipv4Addr, UdpSocket},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

/// Runs udhcpc until it is bound, and returns what it was told.
pub fn lease(host: &Host, guest: &Guest) -> String {
    let script = host.state.path().join("bound.sh");
    let told = host.state.path().join("told");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n\
         ip addr add $ip/$mask dev $interface\n\
         [ -z \"$router\" ] || ip route add default via $router\n\
         echo \"$ip/$mask router=$router dns=$dns hostname=$hostname mtu=$mtu\" > {}\n",
        told.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    guest
        .namespace
        .run(&format!("busybox udhcpc -i eth0 -f -q -n -t 5 -T 1 -O mtu -s {}", script.display()));
    std::fs::read_to_string(told).unwrap()
}

#[test]
fn a_guest_is_leased_its_own_address_on_the_public_wire() {
    let host = Host::new();
    // Neighbours whose ports must not answer for this one.
    let _other = host.unconfigured_guest(&public(5, vec![egress()]));
    let guest = host.unconfigured_guest(&public(4, vec![egress()]));
    let told = lease(&host, &guest);
    let expected = "10.213.0.4/16 router=10.213.0.1 dns=192.0.2.53 hostname=ip-10-213-0-4 mtu=1500";
    assert_eq!(told.trim(), expected);
    assert!(guest.namespace.pings(crate::guest::GATEWAY), "the lease works");
}

#[test]
fn a_guest_is_leased_its_own_address_on_a_private_wire_and_no_route() {
    let host = Host::new();
    let _neighbour = host.unconfigured_guest(&private(5, "vpc-11111111", 5));
    let guest = host.unconfigured_guest(&private(4, "vpc-11111111", 4));
    let told = lease(&host, &guest);
    assert_eq!(told.trim(), "172.31.0.4/16 router= dns= hostname=ip-172-31-0-4 mtu=1380");
}

/// A client in a guest, as far as it says things of our choice.
struct Client {
    socket: UdpSocket,
    mac: MacAddress,
}

impl Client {
    fn of(guest: &Guest, interface: &InterfaceSpec) -> Client {
        let socket = guest.namespace.inside(|| UdpSocket::bind("0.0.0.0:68").unwrap());
        socket.set_broadcast(true).unwrap();
        Client { socket, mac: interface.mac }
    }

    fn asks(&self, kind: MessageType, amend: impl FnOnce(&mut Message)) {
        let mut message = Message::default();
        message.set_opcode(Opcode::BootRequest).set_xid(7).set_chaddr(&self.mac.0);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        amend(&mut message);
        self.socket.send_to(&message.to_vec().unwrap(), ("255.255.255.255", 67)).unwrap();
    }

    /// What kind of answer comes, and the address in it.
    fn is_told(&self, patience: Duration) -> Option<(MessageType, Ipv4Addr)> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut answer = [0; 2048];
        let (length, _) = self.socket.recv_from(&mut answer).ok()?;
        let answer = Message::from_bytes(&answer[..length]).unwrap();
        assert_eq!(answer.chaddr(), self.mac.0);
        Some((answer.opts().msg_type().unwrap(), answer.yiaddr()))
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(300);

#[test]
fn an_address_is_confirmed_to_its_own_guest_and_refused_to_every_other_unheard_by_them() {
    let host = Host::new();
    let interfaces = [4, 5].map(|number| public(number, vec![egress()]));
    let guests = interfaces.each_ref().map(|interface| host.guest(interface));
    let [one, two] = [0, 1].map(|number| Client::of(&guests[number], &interfaces[number]));
    let [its, others] = interfaces.each_ref().map(|interface| interface.address);
    let wanted = |address| {
        move |message: &mut Message| {
            message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        }
    };
    let nobodys = Ipv4Addr::UNSPECIFIED;
    for (address, expected) in [
        (its, (MessageType::Ack, its)),
        (others, (MessageType::Nak, nobodys)),
        (Ipv4Addr::new(10, 213, 9, 9), (MessageType::Nak, nobodys)),
        (crate::guest::GATEWAY, (MessageType::Nak, nobodys)),
    ] {
        one.asks(MessageType::Request, wanted(address));
        assert_eq!(one.is_told(PATIENCE), Some(expected), "asking for `{address}`");
    }
    // A renewal, and one of an address that is not its own.
    one.asks(MessageType::Request, |message| {
        message.set_ciaddr(its);
    });
    assert_eq!(one.is_told(PATIENCE), Some((MessageType::Ack, its)));
    one.asks(MessageType::Request, |message| {
        message.set_ciaddr(others);
    });
    assert_eq!(one.is_told(PATIENCE), Some((MessageType::Nak, nobodys)));
    // In the other's name.
    one.asks(MessageType::Discover, |message| {
        message.set_chaddr(&two.mac.0);
    });
    assert_eq!(one.is_told(MOMENT), None);
    assert_eq!(two.is_told(MOMENT), None, "all that time it heard nothing");
    two.asks(MessageType::Discover, |_| {});
    assert_eq!(two.is_told(PATIENCE), Some((MessageType::Offer, others)));
    assert_eq!(one.is_told(MOMENT), None);
}

#[test]
fn a_guest_with_another_mac_is_leased_nothing() {
    let host = Host::new();
    let interface = public(4, vec![egress()]);
    let guest = host.guest(&interface);
    let mut client = Client::of(&guest, &interface);
    client.asks(MessageType::Discover, |_| {});
    assert_eq!(client.is_told(PATIENCE), Some((MessageType::Offer, interface.address)));
    client.mac.0[5] = 0x99;
    let mac = client.mac;
    guest.namespace.run(&format!("ip link set eth0 address {mac}"));
    guest.namespace.run("ip route replace default via 10.213.0.1");
    client.asks(MessageType::Discover, |_| {});
    assert_eq!(client.is_told(MOMENT), None);
}

#[test]
fn a_flood_of_requests_of_one_guest_keeps_no_other_from_its_lease() {
    let host = Host::new();
    let interfaces = [4, 5].map(|number| public(number, vec![egress()]));
    let guests = interfaces.each_ref().map(|interface| host.guest(interface));
    let [bad, good] = [0, 1].map(|number| Client::of(&guests[number], &interfaces[number]));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                bad.asks(MessageType::Discover, |_| {});
            }
        });
        let answered = (0..20).filter(|_| {
            good.asks(MessageType::Discover, |_| {});
            good.is_told(Duration::from_secs(1)).is_some()
        });
        let answered = answered.count();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answered >= 10, "{answered} of 20");
    });
}

#[test]
fn a_guest_cannot_be_a_dhcp_server() {
    let host = Host::new();
    let rogue = host.guest(&private(4, "vpc-11111111", 4));
    let victim = host.guest(&private(5, "vpc-11111111", 5));
    let hear = || std::net::UdpSocket::bind("0.0.0.0:68").unwrap();
    let ear = victim.namespace.inside(hear);
    ear.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let say = |source: u16, destination: u16| {
        rogue.namespace.inside(move || {
            let socket = std::net::UdpSocket::bind(("0.0.0.0", source)).unwrap();
            socket.send_to(b"offer", ("172.31.0.5", destination)).unwrap();
        });
    };
    say(67, 68);
    say(1067, 68);
    assert!(ear.recv(&mut [0; 16]).is_err(), "an offer got through");
    // The same words on another port arrive, so it is the port that was refused.
    let ear = victim.namespace.inside(|| std::net::UdpSocket::bind("0.0.0.0:69").unwrap());
    say(1067, 69);
    assert_eq!(ear.recv(&mut [0; 16]).unwrap(), 5);
}
