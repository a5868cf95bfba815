//! Our switch as a process of its own.

use mallee::{
    ambient::Ambient,
    domain::{
        overlay::{CableKey, EpochKeys, NetworkId, OverlayCharter, OverlayPeer, SwitchId},
        port_filter::{Cidr, Direction, Peers, Permit, PortFilter, Traffic},
    },
    network::{
        cable::CableOptions,
        frame::Frame,
        overlay::{Overlay, OverlayOptions},
        port::{Attachment, Pipe, Port},
        switch::{Limits, PortSpec},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr},
};

pub const WORD: &str = "be-a-switch";

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    pub number: u32,
    pub listen: SocketAddr,
    /// The number and address of the switch at the other end of its cable.
    pub peer: Option<(u32, SocketAddr)>,
    /// Taps, each with the last byte of its MAC and address.
    pub taps: Vec<(String, u8)>,
    /// Ports beside, in a network of their own.
    pub beside: Beside,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Beside {
    Nothing,
    /// So many ports, each with so many stations behind it.
    Crowd {
        ports: u32,
        stations: u32,
    },
    /// A guest that sends without end.
    Flood,
    /// As busy as a guest that floods, but it sends nothing.
    Busy,
}

pub fn mac(last: u8) -> String {
    format!("02:00:00:00:00:{last:02x}")
}

pub fn run(orders: &str) {
    let orders: Orders = serde_json::from_str(orders).expect("the bench writes them");
    let state = tempfile::tempdir().expect("a directory");
    let overlay = Overlay::start(OverlayOptions {
        listen: orders.listen,
        state_dir: state.path().to_owned(),
        chance: Ambient::system().chance("bench"),
        limits: Limits::default(),
        cables: CableOptions::default(),
    })
    .expect("the overlay starts");
    let key = |from: u32, to: u32| {
        let mut key = [0; 32];
        (key[0], key[1]) = (from as u8, to as u8);
        CableKey(key)
    };
    let peers = orders.peer.iter().map(|(number, address)| OverlayPeer {
        switch: SwitchId(*number),
        name: format!("s{number}"),
        endpoints: vec![*address],
        keys: vec![EpochKeys {
            epoch: 1,
            sending: key(orders.number, *number),
            receiving: key(*number, orders.number),
        }],
    });
    overlay.set_charter(OverlayCharter {
        revision: 1,
        own: SwitchId(orders.number),
        own_name: format!("s{}", orders.number),
        peers: peers.collect(),
    });
    for (name, last) in &orders.taps {
        let spec =
            PortSpec { mac: mac(*last).parse().expect("a MAC"), ..spec(1, u32::from(*last)) };
        overlay.attach(spec, Attachment::Tap { name: name.clone() }).expect("a tap");
    }
    stand_beside(&overlay, &orders.beside);
    // Until the bench lets go.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn spec(network: u32, number: u32) -> PortSpec {
    let all = |direction| Permit {
        direction,
        traffic: Traffic::Any,
        peers: Peers::Ranges(vec![Cidr::ANY]),
    };
    let [.., high, low] = number.to_be_bytes();
    PortSpec {
        interface: format!("eni-{network:04x}{number:04x}").parse().expect("an id"),
        instance: format!("i-{network:04x}{number:04x}").parse().expect("an id"),
        network: NetworkId::new(network).expect("a network's number"),
        mac: format!("02:00:00:{network:02x}:{high:02x}:{low:02x}").parse().expect("a MAC"),
        addresses: vec![Ipv4Addr::new(10, 9, high, low)],
        subnet: "10.9.0.0/16".parse().expect("a range"),
        dhcp_server: None,
        mtu: 1400,
        filter: PortFilter { permits: [Direction::Ingress, Direction::Egress].map(all).into() },
        checks_source: true,
    }
}

/// A broadcast that says "here is this station": ARP, about itself.
fn announcement(source: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(source);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.resize(60, 0);
    frame
}

fn stand_beside(overlay: &Overlay, beside: &Beside) {
    match beside {
        Beside::Nothing => {}
        Beside::Crowd { ports, stations } => {
            for port in 0..*ports {
                let mut pipe =
                    attach(overlay, PortSpec { checks_source: false, ..spec(2, port + 1) });
                for station in 0..*stations {
                    let mac = [2, 0, 1, 0, port as u8, station as u8];
                    let address = Ipv4Addr::new(10, 9, 100 + port as u8, station as u8);
                    pipe.write(Frame::whole(&announcement(mac, address)));
                }
                // The other end stays open, and takes what it is told until it is full.
                std::mem::forget(pipe);
            }
        }
        Beside::Flood => {
            let mut pipe = attach(overlay, spec(2, 1));
            let mac = spec(2, 1).mac.0;
            let frame = announcement(mac, Ipv4Addr::new(10, 9, 0, 1));
            std::thread::spawn(move || {
                loop {
                    pipe.write(Frame::whole(&frame));
                }
            });
        }
        Beside::Busy => {
            let (mut pipe, full) = Pipe::pair().expect("a pipe");
            std::mem::forget(full);
            let frame = announcement([2; 6], Ipv4Addr::new(10, 9, 0, 1));
            std::thread::spawn(move || {
                loop {
                    pipe.write(Frame::whole(&frame));
                }
            });
        }
    }
}

fn attach(overlay: &Overlay, spec: PortSpec) -> Pipe {
    let (ours, theirs) = Pipe::pair().expect("a pipe");
    overlay.attach(spec, Attachment::Pipe(ours)).expect("a port");
    theirs
}
