//! Many rules and many ports: what a change costs, and that it is one moment.

use crate::guest::{Host, egress, ping, public, tcp};
use mallee::{
    domain::port_filter::{Cidr, Permit, PortFilter},
    network::Datapath,
};
use std::{
    io::{Read, Write},
    net::Ipv4Addr,
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
            let peers = vec![Cidr::host(Ipv4Addr::new(198, 18, high, low))];
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
    let set_all = |filter: &PortFilter| -> Vec<Duration> {
        let set = |port: &mallee::domain::interface::InterfaceSpec| {
            let begun = Instant::now();
            host.datapath().set_filter(&port.id, filter).unwrap();
            begun.elapsed()
        };
        ports.iter().map(set).collect()
    };
    let mut filter = PortFilter { permits: many() };
    let times = set_all(&filter);
    let total: Duration = times.iter().sum();
    println!("{RULES} rules at {PORTS} ports: {total:?}, {:?} of it the first", times[0]);
    let rules = host.namespace.run("nft list ruleset").lines().count() - few;
    assert!(rules < 3 * usize::from(RULES), "{rules} lines, for {PORTS} ports");

    filter.permits.push(ping());
    let times = set_all(&filter);
    let total: Duration = times.iter().sum();
    println!("one more rule: {total:?}, {:?} of it the first", times[0]);
    let least = times[1..].iter().min().unwrap();
    assert!(*least * 4 < times[0], "the others cost {least:?}, the first {:?}", times[0]);
    assert!(total < Duration::from_secs(2), "in force within two seconds");
    let after = host.namespace.run("nft list ruleset").lines().count() - few;
    assert!(after < 3 * usize::from(RULES), "the old filter is gone: {after} lines");

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
                assert_eq!(host.namespace.greeting(address, 80), None, "never admitted");
            }
        });
        for round in 0..20 {
            let mut permits = many();
            permits.truncate(usize::from(round % 3 * 499 + 2u16));
            permits.extend([tcp(22, 22), egress()]);
            host.datapath().set_filter(&interface.id, &PortFilter { permits }).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let (worst, count) = echoes.join().unwrap();
        println!("{count} echoes, the slowest in {worst:?}");
        // A lost segment is sent again after 200 ms at the earliest.
        assert!(worst < Duration::from_millis(200), "{worst:?}");
        knocks.join().unwrap();
    });
}
