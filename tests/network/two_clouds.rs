//! Two clouds on one host, which know nothing of each other, and neither takes what is the other's.

use crate::{
    guest::{Guest, Host, Namespace, egress, open, options, private, public, tcp},
    lease::lease,
    metadata::{Served, get, ok, resident_at},
    residue::{check_same, state},
};
use mallee::{
    domain::interface::InterfaceSpec,
    network::{
        Datapath, NetworkFault,
        host::{HostDatapath, HostOptions},
    },
};
use std::{fs, net::Ipv4Addr};
use tempfile::TempDir;

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const SWITCH: &str = "/proc/sys/net/ipv4/conf/uplink/forwarding";

/// The second cloud of a host, as its configuration must have it.
struct Second {
    state: TempDir,
    datapath: HostDatapath,
}

/// A prefix that begins like the first's, and the next range.
fn second_options(state: &TempDir) -> HostOptions {
    HostOptions {
        prefix: "mal".to_owned(),
        subnet: "10.214.0.0/16".parse().unwrap(),
        gateway: Ipv4Addr::new(10, 214, 0, 1),
        ..options(state.path())
    }
}

impl Second {
    fn new() -> Second {
        let state = TempDir::new().unwrap();
        Second { datapath: open(second_options(&state)).unwrap(), state }
    }

    /// As a new process would, after the old one is gone.
    fn reopen(self) -> Second {
        let Second { state, datapath } = self;
        drop(datapath);
        Second { datapath: open(second_options(&state)).unwrap(), state }
    }

    fn guest(&self, host: &Namespace, interface: &InterfaceSpec) -> Guest {
        let instance = "i-87654321".parse().unwrap();
        let port = self.datapath.attach(&instance, interface).unwrap();
        Guest::plugged_into(host, port.backend.tap().unwrap(), interface)
    }
}

/// An interface of the second cloud's public wire; ids and MACs may be the first's as well.
fn second_public(number: u8) -> InterfaceSpec {
    InterfaceSpec {
        address: Ipv4Addr::new(10, 214, 0, number),
        subnet: "10.214.0.0/16".parse().unwrap(),
        gateway: Some(Ipv4Addr::new(10, 214, 0, 1)),
        ..public(number, vec![egress(), tcp(22, 22)])
    }
}

fn forwards() -> bool {
    fs::read_to_string(SWITCH).unwrap().trim() == "1"
}

#[test]
fn the_last_cloud_to_go_restores_what_the_first_one_found() {
    let mut host = Host::bare();
    let _outside = host.outside();
    let before = state(&host.namespace);
    for first_goes_first in [true, false] {
        assert!(!forwards());
        host.reopen();
        let second = Second::new();
        assert!(forwards());
        let (one, two): (&dyn Datapath, &dyn Datapath) = match first_goes_first {
            true => (host.datapath(), &second.datapath),
            false => (&second.datapath, host.datapath()),
        };
        one.purge().unwrap();
        assert!(forwards(), "the other's guests need it");
        one.purge().unwrap();
        assert!(forwards(), "purging twice is harmless");
        two.purge().unwrap();
        check_same(&before, &state(&host.namespace));
        host.datapath = None;
    }
}

#[test]
fn a_cloud_that_comes_back_restores_what_another_found_before_it() {
    let mut host = Host::bare();
    let _outside = host.outside();
    let before = state(&host.namespace);
    host.reopen();
    let second = Second::new();
    host.datapath().purge().unwrap();
    let second = second.reopen();
    assert!(forwards());
    host.reopen();
    second.datapath.purge().unwrap();
    assert!(forwards(), "the first is back");
    host.datapath().purge().unwrap();
    check_same(&before, &state(&host.namespace));
}

#[test]
fn a_switch_that_was_on_before_the_first_stays_on_after_the_last() {
    let mut host = Host::bare();
    let _outside = host.outside();
    fs::write(SWITCH, "1").unwrap();
    let before = state(&host.namespace);
    host.reopen();
    let second = Second::new();
    host.datapath().purge().unwrap();
    second.datapath.purge().unwrap();
    check_same(&before, &state(&host.namespace));
}

#[test]
fn both_clouds_serve_their_own_guests() {
    let mut host = Host::bare();
    let outside = host.outside();
    outside.serve(80, "world");
    host.reopen();
    let second = Second::new();
    let (mine, its) = (public(4, vec![egress()]), second_public(4));
    let one = host.unconfigured_guest(&mine);
    let two = second.guest(&host.namespace, &its);
    assert!(lease(&host, &one).starts_with("10.213.0.4/16 router=10.213.0.1 "));
    assert!(lease(&host, &two).starts_with("10.214.0.4/16 router=10.214.0.1 "));
    for guest in [&one, &two] {
        assert_eq!(guest.namespace.greeting(OUTSIDE, 80).as_deref(), Some("world"));
    }
    let _services = [mine.gateway.unwrap(), its.gateway.unwrap()].map(|gateway| {
        let address = Ipv4Addr::from(u32::from(gateway) + 3);
        Served::at(gateway, vec![resident_at(address, Default::default())])
    });
    assert_eq!(get(&one.namespace, ""), ok("i-0ad50004"));
    assert_eq!(get(&two.namespace, ""), ok("i-0ad60004"));
    // Each is filtered by its own cloud, and reached where that lets it.
    one.namespace.serve(22, "one");
    two.namespace.serve(22, "two");
    assert_eq!(one.namespace.greeting(its.address, 22).as_deref(), Some("two"));
    assert_eq!(two.namespace.greeting(mine.address, 22), None);
    // The same private network's id in both is two networks.
    let inner = private(9, "vpc-11111111", 9);
    let red = host.guest(&inner);
    let blue = second.guest(&host.namespace, &private(8, "vpc-11111111", 8));
    blue.configure(&private(8, "vpc-11111111", 8));
    assert!(!red.namespace.pings(Ipv4Addr::new(172, 31, 0, 8)));

    host.datapath().purge().unwrap();
    assert_eq!(two.namespace.greeting(OUTSIDE, 80).as_deref(), Some("world"), "undisturbed");
    let names = host.namespace.run("ip -o link") + &host.namespace.run("nft list ruleset");
    assert!(!names.contains("mallee-") && names.contains("mal-pub"), "{names}");
}

#[test]
fn a_prefix_that_is_another_clouds_is_refused_and_nothing_of_that_cloud_is_touched() {
    let host = Host::new();
    let guest = host.guest(&public(4, vec![egress()]));
    let before = state(&host.namespace);
    let state_dir = TempDir::new().unwrap();
    let refused = open(options(state_dir.path())).unwrap_err();
    let NetworkFault::PrefixTaken { prefix, holder } = &refused else { panic!("{refused}") };
    assert_eq!((prefix.as_str(), holder.as_str()), ("mallee", host.state.path().to_str().unwrap()));
    check_same(&before, &state(&host.namespace));
    drop(guest);
    // A cloud whose directory was removed by hand can no longer be asked to go.
    let Host { state, datapath, .. } = host;
    drop((datapath, state));
    let heir = open(options(state_dir.path())).unwrap();
    assert_eq!(heir.ports().unwrap().len(), 1, "what it left is found");
    heir.sweep().unwrap();
    assert_eq!(heir.ports().unwrap().len(), 0);
}

#[test]
fn a_range_that_is_another_clouds_is_refused_and_nothing_is_left_of_the_attempt() {
    let host = Host::new();
    let before = state(&host.namespace);
    let state_dir = TempDir::new().unwrap();
    for (subnet, gateway) in
        [("10.213.0.0/16", [10, 213, 0, 1]), ("10.213.64.0/18", [10, 213, 64, 1])]
    {
        let options = HostOptions {
            subnet: subnet.parse().unwrap(),
            gateway: gateway.into(),
            ..second_options(&state_dir)
        };
        let refused = open(options).unwrap_err().to_string();
        assert!(refused.contains("`mallee-pub`") && refused.contains(subnet), "{refused}");
        check_same(&before, &state(&host.namespace));
    }
}
