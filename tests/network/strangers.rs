//! Other programs that change the packet filter as if it were their own.

use crate::guest::{GATEWAY, Guest, Host, Namespace, egress, permit, ping, public, tcp};
use mallee::{
    domain::{
        id::SecurityGroupId,
        port_filter::{Cidr, Direction, GroupMembers, Peers, Permit, PortFilter, Traffic},
    },
    network::Datapath,
};
use std::{
    io::Write,
    net::Ipv4Addr,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 4);
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A host in the world, with a guest.
struct Scene {
    host: Host,
    world: Namespace,
    guest: Guest,
}

impl Scene {
    fn new(permits: Vec<Permit>) -> Scene {
        let mut host = Host::bare();
        let world = host.outside();
        world.run("ip route add 10.213.0.0/16 via 192.0.2.1");
        world.serve(80, "world");
        host.reopen();
        let guest = host.guest(&public(4, permits));
        guest.namespace.serve(22, "ssh");
        Scene { host, world, guest }
    }

    fn reaches_the_world(&self) -> bool {
        self.guest.namespace.greeting(WORLD, 80).is_some()
    }

    /// The number of our table: another one each time it is made.
    fn table(&self) -> u64 {
        let listed = self.host.namespace.run("nft -j list tables ip");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let tables = listed["nftables"].as_array().unwrap().iter().map(|object| &object["table"]);
        let ours = tables.into_iter().find(|table| table["name"] == "mallee").unwrap();
        ours["handle"].as_u64().unwrap()
    }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
    }
}

#[test]
fn guests_are_filtered_again_at_once_where_somebody_emptied_the_packet_filter() {
    let group: SecurityGroupId = "sg-00000001".parse().unwrap();
    let of_group = Permit { peers: Peers::Members(group.clone()), ..tcp(22, 22) };
    let scene = Scene::new(vec![egress(), of_group]);
    let [member, other] = [5, 6].map(|number| scene.host.guest(&public(number, vec![egress()])));
    let members = GroupMembers { group, addresses: [Ipv4Addr::new(10, 213, 0, 5)].into() };
    scene.host.datapath().set_members(&members).unwrap();
    let first = scene.table();

    scene.host.namespace.run("nft flush ruleset");
    let there = || scene.host.namespace.run("nft list tables").contains("table ip mallee");
    eventually("the table is put back", there);
    assert_ne!(scene.table(), first);
    assert!(!scene.host.namespace.pings(GUEST), "filtered");
    assert_eq!(scene.world.greeting(GUEST, 22), None, "filtered");
    eventually("it forwards again", || scene.reaches_the_world());
    assert_eq!(member.namespace.greeting(GUEST, 22).as_deref(), Some("ssh"), "still a member");
    assert_eq!(other.namespace.greeting(GUEST, 22), None, "no member");
    scene.guest.namespace.run("ip link set eth0 address 02:00:00:00:00:99");
    assert!(!scene.guest.namespace.pings(GATEWAY), "nobody else");
    scene.guest.namespace.run("ip link set eth0 address 02:00:00:00:00:04");
    let open = PortFilter { permits: vec![egress(), ping()] };
    scene.host.datapath().set_filter(&public(4, Vec::new()).id, &open).unwrap();
    assert!(scene.host.namespace.pings(GUEST), "changes go on");
}

#[test]
fn whatever_somebody_does_to_the_filter_is_undone() {
    let scene = Scene::new(vec![egress()]);
    for change in [
        "insert rule ip mallee to_guest accept",
        "flush table ip mallee",
        "delete table ip mallee",
        "add table ip mallee { flags dormant; }",
        "flush chain ip mallee output",
    ] {
        scene.host.namespace.run(&format!("nft {change}"));
        eventually(change, || !scene.host.namespace.pings(GUEST));
        eventually(change, || scene.reaches_the_world());
    }
    for map in ["incoming", "incoming_answered", "outgoing", "outgoing_answered"] {
        scene.host.namespace.run(&format!("nft delete element ip mallee {map} {{ {GUEST} }}"));
    }
    eventually("its place in the maps", || scene.reaches_the_world());
    scene.guest.namespace.run("ip link set eth0 address 02:00:00:00:00:99");
    for change in ["insert rule bridge mallee guest accept", "delete table bridge mallee"] {
        scene.host.namespace.run(&format!("nft {change}"));
        eventually(change, || !scene.guest.namespace.pings(GATEWAY));
    }
}

/// Makes our table its own, which nobody else may change then, until it ends.
fn usurp(host: &Namespace) -> Child {
    let mut usurper = host.command("nft -i").stdin(Stdio::piped()).spawn().unwrap();
    let input = usurper.stdin.as_mut().unwrap();
    input.write_all(b"flush ruleset; add table ip mallee { flags owner; }\n").unwrap();
    usurper
}

#[test]
fn while_the_filter_cannot_be_put_back_guests_reach_neither_each_other_nor_the_world() {
    let scene = Scene::new(vec![egress(), ping(), tcp(22, 22)]);
    let neighbour = scene.host.guest(&public(5, vec![egress()]));
    assert!(scene.reaches_the_world() && scene.world.pings(GUEST));
    assert!(neighbour.namespace.pings(GUEST));
    let mut usurper = usurp(&scene.host.namespace);
    eventually("it is cut off", || !scene.reaches_the_world());
    assert!(!scene.world.pings(GUEST));
    assert!(!neighbour.namespace.pings(GUEST));
    usurper.kill().unwrap();
    usurper.wait().unwrap();
    eventually("it is connected again", || scene.reaches_the_world());
    assert!(scene.world.pings(GUEST) && neighbour.namespace.pings(GUEST));
    assert_eq!(scene.world.greeting(GUEST, 80), None, "filtered");
}

#[test]
fn what_the_cloud_changes_itself_is_not_taken_for_a_strangers_however_much_it_is() {
    let scene = Scene::new(vec![egress()]);
    let undone = || {
        scene.host.namespace.run("nft add chain ip mallee strange");
        let strange = || scene.host.namespace.run("nft list table ip mallee").contains("strange");
        eventually("it is undone", || !strange());
        scene.table()
    };
    let [first, second] = [undone(), undone()];
    // More than the kernel keeps for a listener that does not listen.
    let permits = (1..2000).map(|number: u16| {
        let traffic = Traffic::Udp { from: number * 3, to: number * 3 };
        let peer = Cidr::host(Ipv4Addr::from(0x0a00_0000 + u32::from(number)));
        Permit { peers: [peer].into(), ..permit(Direction::Ingress, traffic) }
    });
    let filter = PortFilter { permits: permits.collect() };
    for _ in 0..2 {
        scene.host.datapath().set_filter(&public(4, Vec::new()).id, &filter).unwrap();
        let instance = "i-12345678".parse().unwrap();
        for number in 5..25 {
            scene.host.datapath().attach(&instance, &public(number, vec![egress()])).unwrap();
        }
        let shut = PortFilter { permits: Vec::new() };
        scene.host.datapath().set_filter(&public(4, Vec::new()).id, &shut).unwrap();
    }
    assert_eq!(undone() - second, second - first);
}
