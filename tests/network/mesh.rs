//! Five switches, each with a cable to every other, and what is left when cables go one by one.
//!
//! Nobody tells the switches anything after the beginning: the managers might as well be gone.

use crate::overlay::{Host, PATIENCE, wait_for};
use mallee::domain::overlay::SwitchId;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const SWITCHES: u32 = 5;
const PORT: u16 = 7;

/// A pair of switches.
type Edge = (u32, u32);

struct Mesh {
    hosts: Vec<Host>,
    guests: Vec<crate::guest::Namespace>,
    echoes: Vec<Echo>,
}

/// Says back whatever comes, in a guest.
struct Echo {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, number as u8)
}

fn edges() -> Vec<Edge> {
    (1..=SWITCHES).flat_map(|one| (one + 1..=SWITCHES).map(move |other| (one, other))).collect()
}

impl Mesh {
    fn new() -> Mesh {
        let mut hosts: Vec<Host> =
            (1..=SWITCHES).map(|number| Host::new(number, "0.0.0.0:8777")).collect();
        for (one, other) in edges() {
            let path = hosts[other as usize - 1].namespace.path();
            let namespace = &hosts[one as usize - 1].namespace;
            let (here, there) = (format!("to{other}"), format!("to{one}"));
            namespace.run(&format!("ip link add {here} type veth peer name {there} netns {path}"));
            for (number, device, last) in [(one, &here, 1), (other, &there, 2)] {
                let namespace = &hosts[number as usize - 1].namespace;
                namespace.run(&format!("ip addr add 10.{one}.{other}.{last}/24 dev {device}"));
                namespace.run(&format!("ip link set {device} up"));
            }
        }
        for host in &mut hosts {
            host.begin();
        }
        // Where each is found by another: at its end of their own wire.
        for host in &hosts {
            let endpoint = |other: &Host| {
                let (one, two) = (host.number.min(other.number), host.number.max(other.number));
                let last = if other.number == one { 1 } else { 2 };
                format!("10.{one}.{two}.{last}:8777").parse().unwrap()
            };
            let others = hosts.iter().filter(|other| other.number != host.number);
            host.introduce_at(others.map(|other| (other, endpoint(other))));
        }
        let guests: Vec<_> =
            hosts.iter().map(|host| host.guest(1, host.number as u8, 1380)).collect();
        let echoes = guests.iter().map(|guest| guest.inside(echo)).collect();
        let mesh = Mesh { hosts, guests, echoes };
        for host in &mesh.hosts {
            wait_for("all cables", || mesh.cables(host.number).len() as u32 == SWITCHES - 1);
            wait_for("all guests' addresses", || {
                host.overlay().status().switch.stations.len() as u32 >= SWITCHES - 1
            });
        }
        mesh
    }

    fn cables(&self, number: u32) -> BTreeSet<SwitchId> {
        let cables = self.hosts[number as usize - 1].overlay().status().cables;
        cables.iter().filter(|cable| cable.is_up).map(|cable| cable.neighbour).collect()
    }

    /// Nothing passes between the two any more, and nobody is told.
    fn cut(&self, (one, other): Edge) {
        for (number, device) in [(one, format!("to{other}")), (other, format!("to{one}"))] {
            let namespace = &self.hosts[number as usize - 1].namespace;
            namespace.run(&format!(
                "nft table netdev cut-{device} {{ chain in {{ type filter hook ingress device \
                 {device} priority 0 ; policy drop ; }} ; }}"
            ));
        }
    }

    /// How long it takes until every guest reaches every other.
    fn time_to_heal(&self) -> Duration {
        let begun = Instant::now();
        for (from, guest) in self.guests.iter().enumerate() {
            let socket = guest.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            for to in 1..=SWITCHES {
                if to as usize == from + 1 {
                    continue;
                }
                wait_for(&format!("guest {} reaches {to}", from + 1), || {
                    let word = [from as u8, to as u8];
                    // Refused for a moment where a neighbour is unknown.
                    let _ = socket.send_to(&word, (address(to), PORT));
                    let mut heard = [0; 2];
                    let answered = socket.recv_from(&mut heard);
                    matches!(answered, Ok((2, who)) if who.ip() == address(to) && heard == word)
                });
            }
        }
        begun.elapsed()
    }
}

fn echo() -> Echo {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    let thread = std::thread::spawn(move || {
        let mut word = [0; 64];
        while !seen.load(Ordering::Relaxed) {
            match socket.recv_from(&mut word) {
                Ok((length, who)) => _ = socket.send_to(&word[..length], who),
                Err(error) if is_timeout(&error) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    Echo { ended, thread: Some(thread) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[test]
fn in_a_full_mesh_every_broadcast_is_seen_once_by_everybody() {
    const BROADCASTS: u32 = 200;
    let mesh = Mesh::new();
    let hear = |guest: &crate::guest::Namespace| {
        guest.inside(|| {
            let socket = UdpSocket::bind("0.0.0.0:9").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
    };
    let ears: Vec<UdpSocket> = mesh.guests.iter().map(hear).collect();
    for (from, guest) in mesh.guests.iter().enumerate() {
        let mouth = guest.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        mouth.set_broadcast(true).unwrap();
        for number in 0..BROADCASTS {
            mouth.send_to(&number.to_be_bytes(), "172.31.255.255:9").unwrap();
            // One at a time: what is tested is copies, not queues.
            for (to, ear) in ears.iter().enumerate().filter(|(to, _)| *to != from) {
                let mut word = [0; 8];
                let length = ear.recv(&mut word).unwrap_or_else(|error| {
                    panic!("broadcast {number} of {from} is not heard by {to}: {error}")
                });
                assert_eq!((length, &word[..4]), (4, &number.to_be_bytes()[..]), "to {to}");
            }
        }
        // Its own kernel lets it hear itself.
        for _ in 0..BROADCASTS {
            ears[from].recv(&mut [0; 8]).unwrap();
        }
    }
    for (to, ear) in ears.iter().enumerate() {
        ear.set_nonblocking(true).unwrap();
        let more = ear.recv(&mut [0; 8]);
        assert!(more.is_err(), "guest {to} has heard something twice");
    }
    // No switch had to throw a second copy away, either.
    for host in &mesh.hosts {
        let refused = serde_json::to_value(host.overlay().status().switch.refused).unwrap();
        assert_eq!(refused.get("duplicate"), None, "{refused}");
    }
}

#[test]
fn cables_go_one_by_one_down_to_a_tree_and_everybody_stays_reachable() {
    let mesh = Mesh::new();
    mesh.time_to_heal();
    // What is left at the end is a line, the longest way there can be.
    let kept: BTreeSet<Edge> = BTreeSet::from([(1, 3), (3, 5), (2, 5), (2, 4)]);
    let mut healed = BTreeMap::new();
    for edge in edges().into_iter().filter(|edge| !kept.contains(edge)) {
        mesh.cut(edge);
        healed.insert(edge, mesh.time_to_heal());
    }
    for (edge, took) in &healed {
        println!("after the cable {edge:?} was cut, everybody reached everybody in {took:?}");
    }
    for (number, left) in (1..=SWITCHES).zip([1, 2, 2, 1, 2]) {
        wait_for("both ends have noticed", || mesh.cables(number).len() == left);
    }
    // A frame passes three others, and its owner sees one hop.
    let ping = format!("busybox ping -t 1 -c 1 -W 5 {}", address(4));
    assert!(mesh.guests[0].succeeds(&ping));
    drop(mesh.echoes);
}
