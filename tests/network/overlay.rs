//! Whole switches, with ports and cables: what a guest on one host can say to a guest on another.

use crate::guest::Namespace;
use mallee::{
    domain::{
        chance::Chance,
        overlay::{CableKey, EpochKeys, NetworkId, OverlayCharter, OverlayPeer, SwitchId},
        port_filter::{Cidr, Direction, Peers, Permit, PortFilter, Traffic},
    },
    network::{
        cable::CableOptions,
        frame::Frame,
        overlay::{Overlay, OverlayFault, OverlayOptions, OverlayStatus},
        port::{Attachment, Batch, Pipe, Port},
        switch::{Limits, PortSpec},
    },
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// A host with a switch.
pub struct Host {
    pub namespace: Namespace,
    overlay: Option<Overlay>,
    state: TempDir,
    pub number: u32,
    listen: SocketAddr,
}

/// Nobody guesses here.
#[derive(Debug)]
struct Dice(u64);

impl Chance for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

impl Host {
    pub fn new(number: u32, listen: &str) -> Host {
        let (namespace, state) = (Namespace::new(), TempDir::new().unwrap());
        let listen = listen.parse().unwrap();
        Host { namespace, overlay: None, state, number, listen }
    }

    pub fn begin(&mut self) {
        let options = || OverlayOptions {
            listen: self.listen,
            state_dir: self.state.path().to_owned(),
            chance: Box::new(Dice(u64::from(self.number) + 7)),
            limits: Limits::default(),
            cables: CableOptions::default(),
        };
        let begun = Instant::now();
        self.overlay = loop {
            match self.namespace.inside(|| Overlay::start(options())) {
                Ok(overlay) => break Some(overlay),
                // A program that another test starts has a copy of an earlier switch's socket for
                // the moment between its fork and its exec.
                Err(OverlayFault::Listen { source, .. })
                    if source.kind() == ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => {}
                Err(fault) => panic!("{fault}: {fault:?}"),
            }
        };
    }

    pub fn overlay(&self) -> &Overlay {
        self.overlay.as_ref().unwrap()
    }

    fn introduce(&self, others: &[&Host]) {
        self.introduce_at(others.iter().map(|other| (*other, other.listen)));
    }

    /// Says who the others are and where each is found.
    pub fn introduce_at<'a>(&self, others: impl Iterator<Item = (&'a Host, SocketAddr)>) {
        let key = |from: u32, to: u32| CableKey([(from * 16 + to) as u8; 32]);
        let peer = |(other, at): (&Host, SocketAddr)| OverlayPeer {
            switch: SwitchId(other.number),
            name: format!("s{}", other.number),
            endpoints: vec![at],
            keys: vec![EpochKeys {
                epoch: 1,
                sending: key(self.number, other.number),
                receiving: key(other.number, self.number),
            }],
        };
        self.overlay().set_charter(OverlayCharter {
            revision: 1,
            own: SwitchId(self.number),
            own_name: format!("s{}", self.number),
            peers: others.map(peer).collect(),
        });
    }

    /// A guest in a namespace, at the end of a tap.
    pub fn guest(&self, network: u32, last: u8, mtu: u16) -> Namespace {
        let tap = format!("t{network}-{last}");
        self.overlay().attach(spec(network, last), Attachment::Tap { name: tap.clone() }).unwrap();
        let guest = Namespace::new();
        self.namespace.run(&format!("ip link set {tap} netns {}", guest.path()));
        let mac = spec(network, last).mac;
        guest.run(&format!("ip link set {tap} address {mac} mtu {mtu} up"));
        guest.run(&format!("ip addr add 172.31.0.{last}/16 dev {tap}"));
        guest
    }
}

fn all(direction: Direction) -> Permit {
    Permit { direction, traffic: Traffic::Any, peers: Peers::Ranges(vec![Cidr::ANY]) }
}

fn spec(network: u32, last: u8) -> PortSpec {
    PortSpec {
        interface: format!("eni-{network:04x}{last:04x}").parse().unwrap(),
        instance: format!("i-{network:04x}{last:04x}").parse().unwrap(),
        network: NetworkId::new(network).unwrap(),
        mac: format!("02:00:00:00:{network:02x}:{last:02x}").parse().unwrap(),
        addresses: vec![Ipv4Addr::new(172, 31, 0, last)],
        subnet: "172.31.0.0/16".parse().unwrap(),
        dhcp_server: None,
        mtu: 1400,
        filter: PortFilter { permits: vec![all(Direction::Ingress), all(Direction::Egress)] },
        checks_source: true,
    }
}

/// Two hosts on a wire, whose switches are not started yet.
pub fn wire(addresses: [&str; 2]) -> [Host; 2] {
    let [one, other] = [1, 2].map(|number| Host::new(number, addresses[number as usize - 1]));
    let path = other.namespace.path();
    one.namespace.run(&format!("ip link add u0 type veth peer name u0 netns {path}"));
    for host in [&one, &other] {
        let flags = if host.listen.is_ipv6() { "nodad" } else { "" };
        let length = if host.listen.is_ipv6() { 64 } else { 24 };
        let ip = host.listen.ip();
        host.namespace.run(&format!("ip addr add {ip}/{length} dev u0 {flags}"));
        host.namespace.run("ip link set u0 up");
    }
    for host in [&one, &other] {
        wait_for("the wire", || host.namespace.run("ip link show u0").contains(" state UP "));
    }
    [one, other]
}

/// Two hosts on a wire, their switches joined by a cable.
fn two_hosts(addresses: [&str; 2]) -> [Host; 2] {
    let [mut one, mut other] = wire(addresses);
    one.begin();
    other.begin();
    one.introduce(&[&other]);
    other.introduce(&[&one]);
    for host in [&one, &other] {
        wait_for("the cable", || {
            host.overlay().status().cables.iter().any(|cable| cable.is_up && cable.room >= 1396)
        });
    }
    [one, other]
}

pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::yield_now();
    }
}

pub fn wait_for_station(host: &Host, last: u8) {
    let address = Ipv4Addr::new(172, 31, 0, last).into();
    wait_for("the announcement", || {
        let stations = host.overlay().status().switch.stations;
        stations.iter().any(|station| station.addresses.contains(&address))
    });
}

/// Megabytes one way, the same back.
pub fn passes_tcp(from: &Namespace, to: &Namespace, address: Ipv4Addr) {
    let sent: Vec<u8> =
        (0..8 << 20).map(|n: u32| (n.wrapping_mul(2654435761) >> 13) as u8).collect();
    let listener = to.inside(|| TcpListener::bind((address, 7)).unwrap());
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut copy = stream.try_clone().unwrap();
        std::io::copy(&mut stream, &mut copy).unwrap();
    });
    let mut stream = from
        .inside(|| TcpStream::connect_timeout(&SocketAddr::from((address, 7)), PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut back).unwrap();
    });
    assert!(back == sent, "not what was sent came back");
    echo.join().unwrap();
}

#[test]
fn guests_of_two_hosts_speak_over_a_sealed_cable() {
    let hosts = two_hosts(["192.0.2.1:8777", "192.0.2.2:8777"]);
    let guests = [hosts[0].guest(1, 1, 1400), hosts[1].guest(1, 2, 1400)];
    wait_for_station(&hosts[0], 2);
    wait_for_station(&hosts[1], 1);
    assert!(guests[0].pings(Ipv4Addr::new(172, 31, 0, 2)));
    passes_tcp(&guests[0], &guests[1], Ipv4Addr::new(172, 31, 0, 2));
    for host in &hosts {
        let OverlayStatus { underlay, edges, .. } = host.overlay().status();
        assert_eq!((underlay.malformed, underlay.unsendable), (0, 0));
        assert_eq!(edges[0].losses.malformed, 0);
    }
}

#[test]
fn a_cable_may_go_over_ipv6() {
    let hosts = two_hosts(["[2001:db8::1]:8777", "[2001:db8::2]:8777"]);
    let guests = [hosts[0].guest(1, 1, 1380), hosts[1].guest(1, 2, 1380)];
    wait_for_station(&hosts[0], 2);
    passes_tcp(&guests[0], &guests[1], Ipv4Addr::new(172, 31, 0, 2));
}

#[test]
fn packets_too_long_for_a_cable_arrive_nevertheless() {
    let hosts = two_hosts(["192.0.2.1:8777", "192.0.2.2:8777"]);
    let guests = [hosts[0].guest(1, 1, 9000), hosts[1].guest(1, 2, 9000)];
    wait_for_station(&hosts[0], 2);
    wait_for_station(&hosts[1], 1);
    let to = (Ipv4Addr::new(172, 31, 0, 2), 9);
    let receiver = guests[1].inside(|| UdpSocket::bind(to).unwrap());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = guests[0].inside(|| UdpSocket::bind(("172.31.0.1", 0)).unwrap());
    for length in [1372, 1373, 1500, 8000, 8972] {
        let sent: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        sender.send_to(&sent, to).unwrap();
        let mut received = vec![0; 10_000];
        let arrived = receiver.recv(&mut received).unwrap();
        assert!(received[..arrived] == sent, "{length} bytes");
    }
}

#[test]
fn guests_of_one_host_need_neither_cable_nor_charter() {
    let mut host = Host::new(1, "127.0.0.1:8777");
    host.begin();
    let guests = [host.guest(1, 1, 1500), host.guest(1, 2, 1500)];
    assert!(guests[0].pings(Ipv4Addr::new(172, 31, 0, 2)));
    passes_tcp(&guests[0], &guests[1], Ipv4Addr::new(172, 31, 0, 2));
    // And a charter that comes later cuts nothing.
    let listener = guests[1].inside(|| TcpListener::bind("172.31.0.2:8").unwrap());
    let mut stream = guests[0].inside(|| TcpStream::connect("172.31.0.2:8").unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    host.introduce(&[]);
    stream.write_all(b"still here").unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut word = [0; 10];
    accepted.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"still here");
}

#[test]
fn guests_of_different_networks_may_have_one_address_and_do_not_meet() {
    let hosts = two_hosts(["192.0.2.1:8777", "192.0.2.2:8777"]);
    let ours = [hosts[0].guest(1, 1, 1400), hosts[1].guest(1, 2, 1400)];
    let theirs = [hosts[0].guest(2, 1, 1400), hosts[1].guest(2, 3, 1400)];
    wait_for_station(&hosts[0], 2);
    wait_for_station(&hosts[0], 3);
    assert!(ours[0].pings(Ipv4Addr::new(172, 31, 0, 2)));
    assert!(theirs[0].pings(Ipv4Addr::new(172, 31, 0, 3)));
    assert!(!ours[0].pings(Ipv4Addr::new(172, 31, 0, 3)));
    assert!(!theirs[0].pings(Ipv4Addr::new(172, 31, 0, 2)));
}

#[test]
fn a_switch_that_is_started_again_finds_its_guests_and_neighbours() {
    let mut hosts = two_hosts(["192.0.2.1:8777", "192.0.2.2:8777"]);
    let guest = hosts[1].guest(1, 2, 1400);
    // Its tap is somebody else's, who stays: as QEMU does when this process is started again.
    hosts[0].namespace.run("ip tuntap add mode tap name g0");
    let attachment = Attachment::Packet { device: "g0".to_owned() };
    let holder = hosts[0]
        .namespace
        .inside(|| tun_tap::Iface::without_packet_info("g0", tun_tap::Mode::Tap).unwrap());
    hosts[0].namespace.run("ip link set g0 up");
    hosts[0].overlay().attach(spec(1, 1), attachment.clone()).unwrap();
    wait_for_station(&hosts[1], 1);
    for _ in 0..2 {
        guest_answers(&holder, &guest);
        hosts[0].overlay = None;
        hosts[0].begin();
        hosts[0].overlay().attach(spec(1, 1), attachment.clone()).unwrap();
        hosts[0].introduce(&[&hosts[1]]);
    }
    guest_answers(&holder, &guest);
}

/// The namespace's guest at `172.31.0.2` hears what is said at the held tap.
fn guest_answers(holder: &tun_tap::Iface, guest: &Namespace) {
    let receiver = guest.inside(|| UdpSocket::bind("172.31.0.2:9").unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(spec(1, 1).mac.0, spec(1, 2).mac.0)
        .ipv4([172, 31, 0, 1], [172, 31, 0, 2], 64)
        .udp(9, 9)
        .write(&mut frame, b"hello")
        .unwrap();
    wait_for("the datagram", || {
        holder.send(&frame).unwrap();
        let mut word = [0; 16];
        receiver.recv(&mut word).is_ok_and(|length| &word[..length] == b"hello")
    });
}

#[test]
fn two_guests_speak_by_sockets_without_any_privilege() {
    let mut host = Host::new(1, "127.0.0.1:0");
    host.begin();
    let directory = TempDir::new().unwrap();
    let guests = [1, 2].map(|last| {
        let path = |side: &str| directory.path().join(format!("{side}{last}"));
        let guest = UnixDatagram::bind(path("guest")).unwrap();
        guest.set_read_timeout(Some(PATIENCE)).unwrap();
        let to = Attachment::Socket { ours: path("ours"), guests: path("guest") };
        host.overlay().attach(spec(1, last), to).unwrap();
        guest.connect(path("ours")).unwrap();
        guest
    });
    let mut sent = Vec::new();
    etherparse::PacketBuilder::ethernet2(spec(1, 1).mac.0, spec(1, 2).mac.0)
        .ipv4([172, 31, 0, 1], [172, 31, 0, 2], 64)
        .udp(9, 9)
        .write(&mut sent, &[7; 1000])
        .unwrap();
    guests[0].send(&sent).unwrap();
    let mut received = vec![0; 2000];
    let length = guests[1].recv(&mut received).unwrap();
    assert_eq!(received[..length], sent);
}

#[test]
fn a_port_whose_device_goes_is_open_again_when_the_device_is_back() {
    let mut host = Host::new(1, "127.0.0.1:0");
    host.begin();
    let interface = spec(1, 1).interface;
    let make = || {
        host.namespace.run("ip link add g0 type veth peer name g1");
        host.namespace.run("ip link set g0 up");
        host.namespace.run("ip link set g1 up");
    };
    make();
    host.overlay().attach(spec(1, 1), Attachment::Packet { device: "g0".to_owned() }).unwrap();
    let (mut end, ours) = Pipe::pair().unwrap();
    host.overlay().attach(spec(1, 2), Attachment::Pipe(ours)).unwrap();
    host.namespace.run("ip link del g0");
    let received = || {
        let devices = host.namespace.run("cat /proc/self/net/dev");
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("g1:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap()
    };
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(spec(1, 2).mac.0, spec(1, 1).mac.0)
        .ipv4([172, 31, 0, 2], [172, 31, 0, 1], 64)
        .udp(9, 9)
        .write(&mut frame, &[7; 1000])
        .unwrap();
    make();
    wait_for("the port", || {
        end.write(Frame::whole(&frame));
        let status = host.overlay().status();
        let edge = status.edges.iter().find(|edge| edge.interface == interface).unwrap();
        edge.why_closed.is_none() && received() >= 1000
    });
}

#[test]
fn a_port_attached_again_keeps_its_number_and_one_that_is_detached_takes_nothing() {
    let mut host = Host::new(1, "127.0.0.1:0");
    host.begin();
    let (mut guest, ours) = Pipe::pair().unwrap();
    let pipe = Attachment::Pipe(ours);
    let first = host.overlay().attach(spec(1, 1), pipe.clone()).unwrap();
    assert_eq!(host.overlay().attach(spec(1, 1), pipe).unwrap(), first);
    let (mut other, ours) = Pipe::pair().unwrap();
    host.overlay().attach(spec(1, 2), Attachment::Pipe(ours)).unwrap();
    host.overlay().detach(&spec(1, 2).interface);
    host.overlay().detach(&spec(1, 2).interface);
    let mut broadcast = vec![0xff; 6];
    broadcast.extend(spec(1, 1).mac.0);
    broadcast.extend([8, 0]);
    broadcast.resize(60, 0);
    guest.write(Frame::whole(&broadcast));
    wait_for("the frame", || {
        let ports = host.overlay().status().switch.ports;
        ports[0].received + ports[0].refused.values().sum::<u64>() > 0
    });
    let mut batch = Batch::default();
    // Its other end was closed with the port.
    assert!(other.read(&mut batch).is_err() || batch.frames().next().is_none());
    let nowhere = Attachment::Packet { device: "no-such-device".to_owned() };
    assert!(host.overlay().attach(spec(1, 3), nowhere).is_err());
    assert_eq!(host.overlay().status().edges.len(), 1);
}
