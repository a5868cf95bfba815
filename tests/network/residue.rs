//! What is left on the host: nothing.

use crate::guest::{Host, Namespace, egress, private, public};
use mallee::network::{Datapath, host::HostDatapath};
use std::{fs, net::Ipv4Addr, path::Path};

/// Everything a data plane could leave behind: devices, addresses, routes, rules, switches.
pub fn state(host: &Namespace) -> String {
    let mut state = String::new();
    for line in ["ip link", "ip addr", "ip route", "nft list ruleset"] {
        state += &host.run(line);
    }
    switches(Path::new("/proc/sys/net"), &mut state);
    state
}

fn switches(directory: &Path, state: &mut String) {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            switches(&path, state);
        } else if path.file_name().is_some_and(|name| name != "nf_conntrack_count") {
            // Some can only be written.
            let value = fs::read_to_string(&path).unwrap_or_default();
            *state += &format!("{} {}\n", path.display(), value.trim());
        }
    }
}

/// Shows only the lines that differ: a whole state is thousands of them.
pub fn check_same(before: &str, after: &str) {
    let only = |these: &str, those: &str| -> Vec<String> {
        let those: std::collections::HashSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(str::to_owned).collect()
    };
    assert_eq!((only(before, after), only(after, before)), (Vec::new(), Vec::new()));
    assert!(before == after, "the same lines in another order");
}

#[test]
fn a_purge_leaves_the_host_as_it_was_found() {
    let mut host = Host::bare();
    let _outside = host.outside();
    host.namespace.run("nft add table inet other");
    host.namespace.run("nft add set inet other kept { type ipv4_addr; }");
    let before = state(&host.namespace);
    host.reopen();
    let instance = "i-12345678".parse().unwrap();
    for number in 4..8 {
        host.datapath().attach(&instance, &public(number, vec![egress()])).unwrap();
        let inner = private(number + 100, "vpc-11111111", number);
        host.datapath().attach(&instance, &inner).unwrap();
    }
    let during = state(&host.namespace);
    assert!(during.contains("mallee-pub") && during.contains("masquerade"));
    assert!(during.contains("/proc/sys/net/ipv4/conf/uplink/forwarding 1"));
    // Even a process that knows nothing of the first one's doings, and does nothing first.
    host.datapath = None;
    let found = HostDatapath::find(host.options()).unwrap();
    found.purge().unwrap();
    check_same(&before, &state(&host.namespace));
    assert_eq!(fs::read_dir(host.state.path()).unwrap().count(), 0);
}

#[test]
fn an_uplink_that_is_another_or_made_anew_forwards_for_guests_and_is_restored() {
    let mut host = Host::bare();
    let untouched = state(&host.namespace);
    let world = Ipv4Addr::new(192, 0, 2, 2);
    host.reopen();
    let guest = host.guest(&public(4, vec![egress()]));
    let forwards = |name: &str| {
        let switch = format!("/proc/sys/net/ipv4/conf/{name}/forwarding");
        fs::read_to_string(switch).unwrap().trim() == "1"
    };
    for (name, is_last) in [("uplink", false), ("other", false), ("uplink", true)] {
        let outside = host.outside_by(name);
        outside.serve(80, "world");
        let begun = std::time::Instant::now();
        while guest.namespace.greeting(world, 80).is_none() {
            assert!(begun.elapsed().as_secs() < 10, "by `{name}`");
        }
        assert!(forwards(name));
        if is_last {
            host.datapath().purge().unwrap();
            assert!(!forwards(name));
        }
        host.namespace.run(&format!("ip link del {name}"));
    }
    check_same(&untouched, &state(&host.namespace));
}

#[test]
fn a_packet_filter_that_somebody_emptied_is_made_anew_by_the_next_start_and_restored_from() {
    let mut host = Host::bare();
    let outside = host.outside();
    let world = Ipv4Addr::new(192, 0, 2, 2);
    outside.serve(80, "world");
    let untouched = state(&host.namespace);
    host.reopen();
    let interface = public(4, vec![egress()]);
    let guest = host.guest(&interface);
    host.datapath = None;
    host.namespace.run("nft flush ruleset");
    host.reopen();
    host.datapath().attach(&"i-12345678".parse().unwrap(), &interface).unwrap();
    assert_eq!(guest.namespace.greeting(world, 80).as_deref(), Some("world"));
    assert!(!host.namespace.pings(interface.address), "filtered again");
    drop(guest);
    host.datapath = None;
    host.namespace.run("nft flush ruleset");
    HostDatapath::find(host.options()).unwrap().purge().unwrap();
    check_same(&untouched, &state(&host.namespace));
}

#[test]
fn a_hundred_attachments_and_detachments_leave_no_trace_and_cost_the_same() {
    let host = Host::new();
    let instance = "i-12345678".parse().unwrap();
    let before = state(&host.namespace);
    let started = std::time::Instant::now();
    for _ in 0..100 {
        let (outer, inner) = (public(4, vec![egress()]), private(5, "vpc-11111111", 4));
        host.datapath().attach(&instance, &outer).unwrap();
        host.datapath().attach(&instance, &inner).unwrap();
        host.datapath().detach(&outer.id).unwrap();
        host.datapath().detach(&inner.id).unwrap();
    }
    println!("attach and detach: {:?} each", started.elapsed() / 400);
    check_same(&before, &state(&host.namespace));
}

#[test]
fn the_price_of_an_attachment_does_not_grow_with_their_number() {
    let host = Host::new();
    let instance = "i-12345678".parse().unwrap();
    let mut times = Vec::new();
    for number in 2..202 {
        let started = std::time::Instant::now();
        host.datapath().attach(&instance, &public(number, vec![egress()])).unwrap();
        times.push(started.elapsed());
    }
    // The least of each: what a busy machine adds is not the price.
    let (first, last) = (times[..50].iter().min().unwrap(), times[150..].iter().min().unwrap());
    println!("attach: {first:?} at first, {last:?} with 200 ports");
    assert!(*last < *first * 3, "{first:?} grew to {last:?}");
}

#[test]
fn a_foreign_chain_that_would_drop_our_packets_is_reported_and_left_alone() {
    let host = Host::new();
    assert_eq!(host.datapath().obstacles(), Ok(Vec::new()));
    host.namespace.run("nft add table inet other");
    host.namespace.run(
        "nft add chain inet other fence { type filter hook forward priority 0; policy drop; }",
    );
    let obstacles = host.datapath().obstacles().unwrap();
    assert!(matches!(obstacles.as_slice(), [one] if one.contains("inet other fence")));
}
