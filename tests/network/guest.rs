//! A stand-in for a host and its guests: network namespaces, and a cable to a tap's inner end.

use mallee::{
    ambient::Ambient,
    domain::{
        interface::{InterfaceSpec, MacAddress, Wire},
        overlay::NetworkId,
        port_filter::{Cidr, Direction, Permit, PortFilter, Traffic},
    },
    network::{
        Datapath, NetworkFault,
        cable::CableOptions,
        host::{HostDatapath, HostOptions, Nics},
        overlay::{Overlay, OverlayOptions},
        switch::Limits,
    },
};
use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Output},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tun_tap::{Iface, Mode};

pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
pub const METADATA_PORT: u16 = 8775;
const PATIENCE: Duration = Duration::from_secs(5);

/// A network namespace.
pub struct Namespace(File);

impl Namespace {
    pub fn new() -> Namespace {
        std::thread::scope(|scope| scope.spawn(enter_new).join().unwrap())
    }

    /// The one that a thread or process is in.
    pub fn of(whom: &str) -> Namespace {
        Namespace(File::open(format!("/proc/{whom}/ns/net")).unwrap())
    }

    /// A command that will run inside.
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        let namespace = self.0.as_raw_fd();
        // SAFETY: `setns` may be called between fork and exec, and the descriptor is open there.
        unsafe { command.pre_exec(move || enter(namespace)) };
        command
    }

    pub fn succeeds(&self, line: &str) -> bool {
        self.command(line).output().unwrap().status.success()
    }

    pub fn run(&self, line: &str) -> String {
        checked(line, self.command(line).output().unwrap())
    }

    /// Runs a closure on a thread inside.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(self.0.as_raw_fd()).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// A path by which `ip` can be told of it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Answers every connection with a word, until the process ends.
    pub fn serve(&self, port: u16, word: &'static str) {
        let listener = self.inside(|| TcpListener::bind(("0.0.0.0", port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(word.as_bytes());
                // Stays open for as long as the peer wants, echoing.
                std::thread::spawn(move || {
                    let mut copy = stream.try_clone().unwrap();
                    io::copy(&mut stream, &mut copy)
                });
            }
        });
    }

    /// What a server says; nothing if it cannot be reached in a second.
    pub fn greeting(&self, address: Ipv4Addr, port: u16) -> Option<String> {
        let (_stream, word) = self.inside(|| greeting(address, port))?;
        Some(word)
    }

    pub fn connect(&self, address: Ipv4Addr, port: u16) -> TcpStream {
        self.inside(|| greeting(address, port)).expect("a connection").0
    }

    /// Whether one of three pings is answered: on a busy machine a first one may wait for its ARP
    /// longer than it is waited for.
    pub fn pings(&self, address: Ipv4Addr) -> bool {
        (0..3).any(|_| self.succeeds(&format!("busybox ping -c 1 -W 1 {address}")))
    }
}

/// Packets of an IP protocol, as they are.
pub struct RawSocket(UdpSocket);

impl RawSocket {
    pub fn new(place: &Namespace, protocol: i32) -> RawSocket {
        place.inside(|| {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            // SAFETY: no pointers are passed.
            let socket = unsafe { libc::socket(libc::AF_INET, kind, protocol) };
            assert!(socket >= 0, "{}", io::Error::last_os_error());
            // SAFETY: the descriptor is new and nobody else's. The type's sending and receiving
            // are the same system calls for any socket that knows datagrams.
            RawSocket(unsafe { UdpSocket::from_raw_fd(socket) })
        })
    }

    pub fn send(&self, packet: &[u8], to: Ipv4Addr) {
        self.0.send_to(packet, (to, 0)).unwrap();
    }

    /// Whether a packet that begins like this arrives within the time.
    pub fn hears(&self, beginning: &[u8], patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut packet = [0; 2048];
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.0.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let Ok((length, _)) = self.0.recv_from(&mut packet) else { return false };
            let header = usize::from(packet[0] & 0xf) * 4;
            if packet[header..length].starts_with(beginning) {
                return true;
            }
        }
        false
    }
}

fn greeting(address: Ipv4Addr, port: u16) -> Option<(TcpStream, String)> {
    let address = SocketAddr::from((address, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut word = [0; 16];
    let length = stream.read(&mut word).ok()?;
    Some((stream, String::from_utf8_lossy(&word[..length]).into_owned()))
}

fn enter_new() -> Namespace {
    // SAFETY: no pointers are passed; it concerns this thread only.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "these tests need root: {}", io::Error::last_os_error());
    let namespace = Namespace::of("thread-self");
    namespace.run("ip link set lo up");
    namespace
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: no pointers are passed; it concerns this thread only.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn checked(line: &str, output: Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}` failed: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// A host in a namespace, which the thread that makes it stays in, and its data plane.
pub struct Host {
    pub namespace: Namespace,
    pub datapath: Option<HostDatapath>,
    pub state: TempDir,
}

impl Host {
    pub fn new() -> Host {
        let mut host = Host::bare();
        host.reopen();
        host
    }

    /// A host that Mallee has never seen.
    pub fn bare() -> Host {
        Host { namespace: enter_new(), datapath: None, state: TempDir::new().unwrap() }
    }

    /// As a new process would, after the old one is gone.
    pub fn reopen(&mut self) {
        self.datapath = None;
        self.datapath = Some(open(self.options()).unwrap());
    }

    pub fn options(&self) -> HostOptions {
        options(self.state.path())
    }

    pub fn datapath(&self) -> &HostDatapath {
        self.datapath.as_ref().unwrap()
    }

    /// Attaches an interface and puts a guest at its end, its address set by hand.
    pub fn guest(&self, interface: &InterfaceSpec) -> Guest {
        let guest = self.unconfigured_guest(interface);
        guest.configure(interface);
        guest
    }

    pub fn unconfigured_guest(&self, interface: &InterfaceSpec) -> Guest {
        let instance = "i-12345678".parse().unwrap();
        let port = self.datapath().attach(&instance, interface).unwrap();
        Guest::plugged_into(&self.namespace, port.backend.tap().unwrap(), interface)
    }

    /// A namespace beyond the host, at 192.0.2.2, where the host's default route leads.
    pub fn outside(&self) -> Namespace {
        self.outside_by("uplink")
    }

    /// The same by a device of another name.
    pub fn outside_by(&self, uplink: &str) -> Namespace {
        let outside = Namespace::new();
        let path = outside.path();
        self.namespace.run(&format!("ip link add {uplink} type veth peer name eth0"));
        self.namespace.run(&format!("ip link set eth0 netns {path}"));
        // Its own IPv6 address would take a while to be sure of itself.
        self.namespace.run(&format!("sysctl -qw net.ipv6.conf.{uplink}.disable_ipv6=1"));
        self.namespace.run(&format!("ip addr add 192.0.2.1/24 dev {uplink}"));
        self.namespace.run(&format!("ip link set {uplink} up"));
        outside.run("ip addr add 192.0.2.2/24 dev eth0");
        outside.run("ip link set eth0 up");
        self.namespace.run("ip route add default via 192.0.2.2");
        // The kernel takes a moment to say that both ends are up.
        let begun = Instant::now();
        while !self.namespace.run(&format!("ip link show {uplink}")).contains(" state UP ") {
            assert!(begun.elapsed() < PATIENCE, "`{uplink}` is not up");
        }
        outside
    }
}

/// What a cloud with this state directory is given by default.
pub fn options(state: &Path) -> HostOptions {
    HostOptions {
        prefix: "mallee".to_owned(),
        subnet: "10.213.0.0/16".parse().unwrap(),
        gateway: GATEWAY,
        dns: vec![Ipv4Addr::new(192, 0, 2, 53)],
        state_dir: state.to_owned(),
        metadata_port: METADATA_PORT,
        nics: Nics::Taps,
        guest_mtu: 1380,
    }
}

/// A data plane with a switch of its own, in the namespace of the caller's.
pub fn open(options: HostOptions) -> Result<HostDatapath, NetworkFault> {
    // It has no cables, so nothing that it keeps is needed once it runs.
    let kept = TempDir::new().unwrap();
    let overlay = OverlayOptions {
        listen: (Ipv4Addr::UNSPECIFIED, 0).into(),
        state_dir: kept.path().to_owned(),
        chance: Ambient::system().chance("overlay"),
        limits: Limits::default(),
        cables: CableOptions::default(),
    };
    HostDatapath::open(options, Overlay::start(overlay).unwrap())
}

pub struct Guest {
    pub namespace: Namespace,
    _cable: Cable,
}

impl Guest {
    /// At the end of a tap that is in a namespace.
    pub fn plugged_into(host: &Namespace, tap: &str, interface: &InterfaceSpec) -> Guest {
        let outer = host.inside(|| Iface::without_packet_info(tap, Mode::Tap).unwrap());
        let namespace = Namespace::new();
        let inner = namespace.inside(|| Iface::without_packet_info("eth0", Mode::Tap).unwrap());
        namespace.run(&format!("ip link set eth0 address {} up", interface.mac));
        Guest { namespace, _cable: Cable::new(outer, inner) }
    }

    /// Sets its address by hand.
    pub fn configure(&self, interface: &InterfaceSpec) {
        let length = interface.subnet.prefix_length();
        self.namespace.run(&format!("ip addr add {}/{length} dev eth0", interface.address));
        if let Some(gateway) = interface.gateway {
            self.namespace.run(&format!("ip route add default via {gateway}"));
        }
    }
}

/// Carries frames between two taps until dropped: what QEMU does for a guest's NIC.
struct Cable {
    alive: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    fn new(a: Iface, b: Iface) -> Cable {
        let (alive, watched) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || carry(&a, &b, &watched));
        Cable { alive: Some(alive), thread: Some(thread) }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        drop(self.alive.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn carry(a: &Iface, b: &Iface, watched: &UnixStream) {
    let mut buffer = [0; 65536];
    loop {
        let mut descriptors = [a.as_raw_fd(), b.as_raw_fd(), watched.as_raw_fd()]
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: the array is valid for its length during the call.
        unsafe { libc::poll(descriptors.as_mut_ptr(), 3, -1) };
        if descriptors[2].revents != 0 {
            return;
        }
        for (from, to, ready) in [(a, b, descriptors[0]), (b, a, descriptors[1])] {
            if ready.revents & libc::POLLIN != 0 {
                let Ok(length) = from.recv(&mut buffer) else { return };
                // An end that is down takes no frames, like a cable.
                let _ = to.send(&buffer[..length]);
            } else if ready.revents != 0 {
                // The tap was deleted under us, as when an interface is detached.
                return;
            }
        }
    }
}

/// A public interface; the number makes it different from others.
pub fn public(number: u8, permits: Vec<Permit>) -> InterfaceSpec {
    InterfaceSpec {
        id: format!("eni-000000{number:02x}").parse().unwrap(),
        device_index: 0,
        mac: MacAddress([2, 0, 0, 0, 0, number]),
        wire: Wire::Public,
        network: None,
        address: Ipv4Addr::new(10, 213, 0, number),
        secondary: Vec::new(),
        checks_source: true,
        subnet: "10.213.0.0/16".parse().unwrap(),
        gateway: Some(GATEWAY),
        elastic: Default::default(),
        filter: PortFilter { permits },
    }
}

/// An interface of a private network, on which several may have the same address.
pub fn private(number: u8, network: &str, last: u8) -> InterfaceSpec {
    InterfaceSpec {
        wire: Wire::Private(network.parse().unwrap()),
        // The first digits of the id: tests have no cloud that counts networks.
        network: NetworkId::new(u32::from_str_radix(&network[4..8], 16).unwrap()),
        address: Ipv4Addr::new(172, 31, 0, last),
        subnet: "172.31.0.0/16".parse().unwrap(),
        gateway: None,
        device_index: 1,
        ..public(number, vec![egress(), permit(Direction::Ingress, Traffic::Any)])
    }
}

pub fn permit(direction: Direction, traffic: Traffic) -> Permit {
    Permit { direction, traffic, peers: [Cidr::ANY].into() }
}

/// What EC2's default security group lets out.
pub fn egress() -> Permit {
    permit(Direction::Egress, Traffic::Any)
}

pub fn ping() -> Permit {
    permit(Direction::Ingress, Traffic::Icmp { kind: Some(8), code: None })
}

pub fn tcp(from: u16, to: u16) -> Permit {
    permit(Direction::Ingress, Traffic::Tcp { from, to })
}
