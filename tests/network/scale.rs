//! Many rules and many ports: what a change costs, and that it is one moment.

use crate::guest::{Host, egress, ping, public, tcp};
use mallee::{
    domain::{
        interface::InterfaceSpec,
        port_filter::{Cidr, Permit, PortFilter},
    },
    network::Datapath,
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const PORTS: u8 = 50;
const RULES: u16 = 1000;

/// Rules of which no two have anything in common.
fn many() -> Vec<Permit> {
    (0..RULES)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let peers = [Cidr::host(Ipv4Addr::new(198, 18, high, low))].into();
            Permit { peers, ..tcp(10_000 + number * 2, 10_000 + number * 2) }
        })
        .collect()
}

#[test]
fn a_large_group_is_rendered_once_however_many_ports_have_it() {
    let host = Host::new();
    let instance = "i-12345678".parse().unwrap();
    let ports: Vec<_> = (2..2 + PORTS).map(|number| public(number, vec![egress()])).collect();
    for port in &ports {
        host.datapath().attach(&instance, port).unwrap();
    }
    let few = host.namespace.run("nft list ruleset").lines().count();
    let set = |port: &InterfaceSpec, filter: &PortFilter| {
        host.datapath().set_filter(&port.id, filter).unwrap();
    };
    // As the guests of a group are told: each by itself, all at one moment.
    let set_all = |filter: &PortFilter| -> Duration {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            ports.iter().for_each(|port| drop(scope.spawn(|| set(port, filter))));
        });
        begun.elapsed()
    };
    let lines = || host.namespace.run("nft list ruleset").lines().count() - few;
    let mut filter = PortFilter { permits: many() };
    println!("{RULES} rules at {PORTS} ports: {:?}", set_all(&filter));
    assert!(lines() < 3 * usize::from(RULES), "{} lines, for {PORTS} ports", lines());

    filter.permits.push(ping());
    let begun = Instant::now();
    set(&ports[0], &filter);
    let first = begun.elapsed();
    let others = set_all(&filter);
    println!("one more rule: {first:?} at the first, {others:?} at all the others");
    assert!(others < first * u32::from(PORTS) / 4, "{others:?}, where one costs {first:?}");
    assert!(first + others < Duration::from_secs(2), "in force within two seconds");
    assert!(lines() < 3 * usize::from(RULES), "the old filter is still there");

    set_all(&PortFilter { permits: vec![egress()] });
    assert_eq!(host.namespace.run("nft list ruleset").lines().count(), few);
}

#[test]
fn a_change_is_one_moment_in_which_nothing_admitted_is_lost() {
    let host = Host::new();
    let address = Ipv4Addr::new(10, 213, 0, 4);
    let interface = public(4, vec![egress(), tcp(22, 22)]);
    let guest = host.guest(&interface);
    guest.namespace.serve(22, "ssh");
    guest.namespace.serve(80, "web");
    let mut stream = host.namespace.connect(address, 22);
    stream.set_nodelay(true).unwrap();
    // A lost segment is sent again after 200 ms at the earliest. A busy machine may take as long
    // for its own reasons, though not time after time.
    let is_unnoticed = || {
        let (worst, count) = slowest_echo_while_filters_change(&host, &interface, &mut stream);
        println!("{count} echoes, the slowest in {worst:?}");
        worst < Duration::from_millis(200)
    };
    assert!(std::iter::repeat_with(is_unnoticed).take(3).any(|is_unnoticed| is_unnoticed));
}

/// And how many there were.
fn slowest_echo_while_filters_change(
    host: &Host,
    interface: &InterfaceSpec,
    stream: &mut TcpStream,
) -> (Duration, u32) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let echoes = scope.spawn(|| {
            let (mut worst, mut count) = (Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                stream.write_all(b"x").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                worst = worst.max(begun.elapsed());
                count += 1;
            }
            (worst, count)
        });
        let knocks = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = host.namespace.greeting(interface.address, 80);
                assert_eq!(answer, None, "never admitted");
            }
        });
        for round in 0..20 {
            let mut permits = many();
            permits.truncate(usize::from(round % 3 * 499 + 2u16));
            permits.extend([tcp(22, 22), egress()]);
            host.datapath().set_filter(&interface.id, &PortFilter { permits }).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        knocks.join().unwrap();
        echoes.join().unwrap()
    })
}
