//! Every kind of port, held to the same promises, with somebody at its other end.

use crate::guest::Namespace;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use mallee::network::{
    frame::{Frame, Offload, PartialChecksum, Segmentation, Segmented},
    port::{Attachment, Batch, Pipe, Port},
};
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tun_tap::{Iface, Mode};

const PATIENCE: Duration = Duration::from_secs(5);
/// For experiments; nothing else in a namespace speaks it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// A port with its other end.
struct Rig {
    attachment: Attachment,
    port: Option<Box<dyn Port>>,
    far: Box<dyn Far>,
    namespace: Namespace,
}

/// What is beyond a port.
trait Far: Send {
    fn send(&mut self, frame: &[u8]);
    /// None when nothing waits.
    fn receive(&mut self) -> Option<Vec<u8>>;
    fn leave(&mut self, namespace: &Namespace);
    fn come_back(&mut self, namespace: &Namespace);
}

impl Rig {
    fn port(&mut self) -> &mut dyn Port {
        self.port.as_mut().unwrap().as_mut()
    }

    /// The next frame of an experiment that comes in by the port.
    fn next_in(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut batch = Batch::default();
        loop {
            self.wait_readable(deadline);
            batch.clear();
            self.port().read(&mut batch).unwrap();
            let mut found = batch.frames().filter(|frame| frame.bytes[12..14] == ETHERTYPE);
            if let Some(frame) = found.next() {
                assert!(found.next().is_none(), "one was sent");
                return frame.bytes.to_vec();
            }
        }
    }

    fn wait_readable(&mut self, deadline: Instant) {
        let fd = self.port().descriptor().as_raw_fd();
        let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let left = deadline.checked_duration_since(Instant::now()).expect("nothing came in time");
        // SAFETY: one descriptor is passed, valid during the call.
        unsafe { libc::poll(&mut polled, 1, left.as_millis() as i32) };
    }

    /// The next frame that went out by the port, for which `is_it` holds.
    fn next_out(&mut self, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(frame) = self.far.receive() {
                if is_it(&frame) {
                    return frame;
                }
                continue;
            }
            assert!(Instant::now() < deadline, "nothing came out in time");
            self.port().flush();
            std::thread::yield_now();
        }
    }
}

fn is_ours(frame: &[u8]) -> bool {
    frame[12..14] == ETHERTYPE
}

fn check(promise: impl Fn(&str, Rig)) {
    for (name, rig) in
        [("tap", tap()), ("packet", packet()), ("socket", socket()), ("pipe", pipe())]
    {
        promise(name, rig);
    }
}

fn frame(number: usize, length: usize) -> Vec<u8> {
    let mut frame = vec![number as u8; length];
    frame[..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&ETHERTYPE);
    frame
}

#[test]
fn frames_pass_both_ways_as_they_are_and_in_order() {
    check(|name, mut rig| {
        for (number, length) in [60, 61, 590, 1513, 1514].into_iter().enumerate() {
            let sent = frame(number, length);
            rig.far.send(&sent);
            assert_eq!(rig.next_in(), sent, "{name}");
            rig.port().write(Frame::whole(&sent));
            assert_eq!(rig.next_out(is_ours), sent, "{name}");
        }
    });
}

#[test]
fn a_burst_is_read_in_bounded_batches_and_written_without_loss() {
    check(|name, mut rig| {
        let mut batch = Batch::default();
        let mut seen = 0;
        for burst in 0..10 {
            for number in 0..8 {
                rig.far.send(&frame(burst * 8 + number, 100));
            }
            let deadline = Instant::now() + PATIENCE;
            while seen < (burst + 1) * 8 {
                rig.wait_readable(deadline);
                batch.clear();
                rig.port().read(&mut batch).unwrap();
                assert!(batch.frames().count() <= 64, "{name}");
                for found in batch.frames().filter(|frame| is_ours(frame.bytes)) {
                    assert_eq!(found.bytes, frame(seen, 100), "{name}");
                    seen += 1;
                }
            }
        }
        for number in 0..80 {
            rig.port().write(Frame::whole(&frame(number, 1500)));
        }
        for number in 0..80 {
            assert_eq!(rig.next_out(is_ours), frame(number, 1500), "{name}");
        }
        assert_eq!(rig.port().losses().undelivered, 0, "{name}");
    });
}

#[test]
fn a_large_segment_comes_out_whole_or_in_right_pieces() {
    check(|name, mut rig| {
        let payload: Vec<u8> = (0..20_000).map(|n| (n % 251) as u8).collect();
        let (bytes, offload) = segment(&payload, 1400);
        rig.port().write(Frame { bytes: &bytes, offload });
        let mut arrived = Vec::new();
        while arrived.len() < payload.len() {
            let frame = rig.next_out(|frame| frame[12..14] == [8, 0]);
            arrived.extend(looked_at(&frame));
        }
        assert_eq!(arrived, payload, "{name}");
    });
}

#[test]
fn a_side_that_is_away_loses_frames_and_nothing_else() {
    check(|name, mut rig| {
        if name == "pipe" {
            // Its other end cannot come back.
            return;
        }
        rig.port().write(Frame::whole(&frame(1, 100)));
        assert_eq!(rig.next_out(is_ours), frame(1, 100), "{name}");
        rig.far.leave(&rig.namespace);
        rig.port().write(Frame::whole(&frame(2, 100)));
        let mut batch = Batch::default();
        rig.port().read(&mut batch).unwrap();
        assert!(rig.port().losses().undelivered > 0, "{name}");

        rig.far.come_back(&rig.namespace);
        rig.port().write(Frame::whole(&frame(3, 100)));
        assert_eq!(rig.next_out(is_ours), frame(3, 100), "{name}");
        rig.far.send(&frame(4, 100));
        assert_eq!(rig.next_in(), frame(4, 100), "{name}");
    });
}

#[test]
fn a_port_opened_again_finds_the_other_side_as_it_was() {
    check(|name, mut rig| {
        rig.port = None;
        if name == "tap" {
            // A tap that nobody keeps open is gone with its descriptor.
            return;
        }
        rig.port = Some(rig.namespace.inside(|| rig.attachment.open().unwrap()));
        rig.far.send(&frame(1, 100));
        assert_eq!(rig.next_in(), frame(1, 100), "{name}");
        rig.port().write(Frame::whole(&frame(2, 100)));
        assert_eq!(rig.next_out(is_ours), frame(2, 100), "{name}");
    });
}

#[test]
fn what_a_tap_sends_itself_does_not_come_back_from_a_packet_socket() {
    let mut rig = packet();
    rig.port().write(Frame::whole(&frame(1, 100)));
    assert_eq!(rig.next_out(is_ours), frame(1, 100));
    rig.far.send(&frame(2, 100));
    assert_eq!(rig.next_in(), frame(2, 100), "and not the first");
}

#[test]
fn a_tagged_frame_does_not_pass_a_packet_socket_untagged() {
    let mut rig = packet();
    let mut tagged = frame(1, 100);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    rig.far.send(&tagged);
    rig.far.send(&frame(2, 100));
    assert_eq!(rig.next_in(), frame(2, 100));
}

#[test]
fn nobody_else_can_write_to_a_guests_socket() {
    let rig = socket();
    let Attachment::Socket { ours, .. } = &rig.attachment else { unreachable!() };
    let mode = std::fs::metadata(ours).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_in_a_sockets_place_is_not_removed() {
    let directory = TempDir::new().unwrap();
    let ours = directory.path().join("ours");
    std::fs::write(&ours, "precious").unwrap();
    let attachment = Attachment::Socket { ours: ours.clone(), guests: directory.path().join("g") };
    assert_eq!(attachment.open().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(ours).unwrap(), b"precious");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    for name in ["", "no-such-device-1", "a-name-that-is-longer-than-fits"] {
        assert!(Attachment::Packet { device: name.to_owned() }.open().is_err(), "{name}");
    }
    for name in ["", "a-name-that-is-longer-than-fits"] {
        assert!(Attachment::Tap { name: name.to_owned() }.open().is_err(), "{name}");
    }
}

/// A large TCP segment as a kernel hands it over.
fn segment(payload: &[u8], size: u16) -> (Vec<u8>, Offload) {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1000, 2000, 1, 500)
        .ack(1)
        .write(&mut bytes, payload)
        .unwrap();
    let sum: u32 = 2 * 0x0a00 + 1 + 2 + 6 + 20 + payload.len() as u32;
    bytes[50..52].copy_from_slice(&((sum & 0xffff) + (sum >> 16)).to_be_bytes()[2..]);
    let checksum = Some(PartialChecksum { start: 34, offset: 16 });
    let segmentation = Some(Segmentation { protocol: Segmented::Tcp4, size, headers: 54 });
    (bytes, Offload { checksum, segmentation })
}

/// A frame's payload; of a piece the checksums are right.
fn looked_at(frame: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
    if frame.len() <= 1514 {
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4") };
        let computed =
            tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).unwrap();
        assert_eq!(tcp.checksum(), computed);
    }
    tcp.payload().to_vec()
}

/// Ours is the tap; the far end is whoever uses its device.
fn tap() -> Rig {
    let namespace = Namespace::new();
    let attachment = Attachment::Tap { name: "t0".to_owned() };
    let port = namespace.inside(|| attachment.open().unwrap());
    namespace.run("ip link set t0 up");
    let far = Box::new(Device(namespace.inside(raw_socket)));
    Rig { attachment, port: Some(port), far, namespace }
}

/// Ours is a socket on the device; the far end holds the tap, as QEMU does.
fn packet() -> Rig {
    let namespace = Namespace::new();
    let iface = namespace.inside(|| Iface::without_packet_info("t0", Mode::Tap).unwrap());
    set_nonblocking(&iface);
    namespace.run("ip link set t0 up");
    let attachment = Attachment::Packet { device: "t0".to_owned() };
    let port = namespace.inside(|| attachment.open().unwrap());
    Rig { attachment, port: Some(port), far: Box::new(Holder(iface)), namespace }
}

fn set_nonblocking(iface: &Iface) {
    // SAFETY: no pointers are passed, and the descriptor is open.
    let result = unsafe { libc::fcntl(iface.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn socket() -> Rig {
    let namespace = Namespace::new();
    let directory = TempDir::new().unwrap();
    let ours = directory.path().join("ours");
    let guests = directory.path().join("guests");
    let attachment = Attachment::Socket { ours, guests };
    let port = attachment.open().unwrap();
    let mut far = Box::new(Qemu { directory, socket: None });
    far.come_back(&namespace);
    Rig { attachment, port: Some(port), far, namespace }
}

fn pipe() -> Rig {
    let namespace = Namespace::new();
    let (one, other) = Pipe::pair().unwrap();
    let attachment = Attachment::Pipe(one);
    let port = attachment.open().unwrap();
    Rig { attachment, port: Some(port), far: Box::new(End(other, Vec::new())), namespace }
}

struct Device(std::fs::File);

fn raw_socket() -> std::fs::File {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: no pointers are passed to `socket`; the addresses and values live during the calls.
    unsafe {
        let socket = libc::socket(libc::AF_PACKET, kind, i32::from(protocol));
        assert!(socket >= 0, "{}", io::Error::last_os_error());
        let socket = OwnedFd::from_raw_fd(socket);
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = libc::if_nametoindex(c"t0".as_ptr()) as i32;
        let length = size_of_val(&address) as u32;
        let bound = libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length);
        assert_eq!(bound, 0, "{}", io::Error::last_os_error());
        let (on, ignore_outgoing) = (1i32, 23);
        let fd = socket.as_raw_fd();
        libc::setsockopt(fd, libc::SOL_PACKET, ignore_outgoing, (&raw const on).cast(), 4);
        socket.into()
    }
}

impl Far for Device {
    fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).unwrap();
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 70_000];
        let length = self.0.read(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
    fn leave(&mut self, namespace: &Namespace) {
        namespace.run("ip link set t0 down");
    }
    fn come_back(&mut self, namespace: &Namespace) {
        namespace.run("ip link set t0 up");
        // Says once that the device was down.
        while self.receive().is_some() {}
    }
}

struct Holder(Iface);

impl Far for Holder {
    fn send(&mut self, frame: &[u8]) {
        self.0.send(frame).unwrap();
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 70_000];
        let length = self.0.recv(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
    fn leave(&mut self, namespace: &Namespace) {
        namespace.run("ip link set t0 down");
    }
    fn come_back(&mut self, namespace: &Namespace) {
        namespace.run("ip link set t0 up");
    }
}

struct Qemu {
    directory: TempDir,
    socket: Option<UnixDatagram>,
}

impl Far for Qemu {
    fn send(&mut self, frame: &[u8]) {
        let ours = self.directory.path().join("ours");
        self.socket.as_ref().unwrap().send_to(frame, ours).unwrap();
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 70_000];
        let length = self.socket.as_ref()?.recv(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
    fn leave(&mut self, _: &Namespace) {
        self.socket = None;
        std::fs::remove_file(self.directory.path().join("guests")).unwrap();
    }
    fn come_back(&mut self, _: &Namespace) {
        let socket = UnixDatagram::bind(self.directory.path().join("guests")).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.socket = Some(socket);
    }
}

struct End(Pipe, Vec<Vec<u8>>);

impl Far for End {
    fn send(&mut self, frame: &[u8]) {
        self.0.write(Frame::whole(frame));
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        if self.1.is_empty() {
            let mut batch = Batch::default();
            self.0.read(&mut batch).unwrap();
            self.1.extend(batch.frames().map(|frame| frame.bytes.to_vec()));
        }
        (!self.1.is_empty()).then(|| self.1.remove(0))
    }
    fn leave(&mut self, _: &Namespace) {}
    fn come_back(&mut self, _: &Namespace) {}
}
