//! Where the far end is, and how much the path to it carries.

use super::underlay::{Mapping, World, at, ms};
use crate::domain::overlay::{NetworkId, SwitchId};
use crate::network::{
    cable::{CableEvent, CannotSeal, Opened, peer::OVERHEAD},
    record::{HOPS, Kind, RecordHeader},
};
use std::{net::SocketAddr, time::Duration};

fn header(from: u32, to: u32) -> RecordHeader {
    RecordHeader {
        kind: Kind::Frame,
        network: NetworkId::new(1),
        hops: HOPS,
        is_last: false,
        is_ipv6: false,
        index: 0,
        destination: SwitchId(to),
        source: SwitchId(from),
        sequence: 0,
        checksum: None,
    }
}

/// Where the next frame from one to the other would be sent.
fn destination(world: &mut World, from: u32, to: u32) -> Result<SocketAddr, CannotSeal> {
    world.cables(from).seal(SwitchId(to), &header(from, to), &[b"never sent"], &mut Vec::new())
}

#[test]
fn a_switch_behind_a_nat_reaches_one_that_is_not() {
    for (seed, mapping) in [(1, Mapping::Independent), (2, Mapping::Dependent)] {
        let mut world = World::new(seed, 2);
        world.put_behind_nat(1, mapping);
        world.start_all();
        world.run_until(ms(2000), World::all_up);
        world.run(ms(500));
        assert!(world.send(1, 2, 300) && world.send(2, 1, 300));
        world.run(ms(100));
        assert_eq!((world.lost(1, 2), world.lost(2, 1)), (0, 0));
        let outside = world.cables(1).outside_addresses();
        assert_eq!(outside, [at("198.51.100.1:10001")], "as the other sees it");
    }
}

#[test]
fn two_switches_behind_nats_meet_where_a_third_sees_them() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3);
        world.put_behind_nat(1, Mapping::Independent);
        world.put_behind_nat(2, Mapping::Independent);
        world.start_all();
        let took = world.run_until(Duration::from_secs(10), World::all_up);
        assert!(took < Duration::from_secs(5), "{took:?}");
        // The third is needed to meet, not to stay.
        world.crash(3);
        world.run(Duration::from_secs(10));
        assert!(world.is_up(1, 2));
        let address = world.status(1, 2).address.unwrap();
        assert_eq!(address.ip(), at("198.51.100.2:1").ip());
    }
}

#[test]
fn where_nats_map_each_destination_apart_there_is_no_cable_and_others_are_not_disturbed() {
    let mut world = World::new(1, 3);
    world.put_behind_nat(1, Mapping::Dependent);
    world.put_behind_nat(2, Mapping::Dependent);
    world.start_all();
    world.run(Duration::from_secs(60));
    assert!(world.is_up(1, 3) && world.is_up(2, 3) && !world.is_up(1, 2));
    assert!(world.hosts.keys().all(|own| world.downs(*own).is_empty()));
    let why = world.status(1, 2).why_down.unwrap();
    assert!(why.starts_with("no answer from any of `10.0.0.2:4500`, `198.51.100.2:"), "{why}");
}

#[test]
fn a_nat_that_maps_anew_takes_no_cable_down() {
    let mut world = World::new(1, 2);
    world.put_behind_nat(1, Mapping::Independent);
    world.start_all();
    world.run_until(ms(2000), World::all_up);
    for _ in 0..10 {
        world.run(ms(1300));
        world.hosts.get_mut(&1).unwrap().nat.as_mut().unwrap().forget();
        world.run(ms(500));
        let lost = world.lost(2, 1);
        assert!(world.send(2, 1, 100));
        world.run(ms(50));
        assert_eq!(world.lost(2, 1), lost, "the other end knows the new address");
    }
    assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]));
}

#[test]
fn a_host_that_moves_takes_its_cables_with_it() {
    let mut world = World::new(1, 3);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    let moved = at("203.0.113.9:9");
    world.hosts.get_mut(&1).unwrap().address = moved;
    world.run(ms(700));
    assert_eq!(
        (world.status(2, 1).address, world.status(3, 1).address),
        (Some(moved), Some(moved))
    );
    assert!(world.all_up());
    assert!(world.hosts.keys().all(|own| world.downs(*own).is_empty()));
    assert!(world.status(1, 2).seen_at == Some(moved));
}

#[test]
fn a_datagram_caught_and_sent_from_elsewhere_diverts_nothing() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run(ms(3000));
    let home = world.hosts[&1].address;
    let attacker = at("203.0.113.66:666");
    for size in [60, 1000] {
        // It goes out, and is caught on its way.
        let mut caught = Vec::new();
        let number = world.sent.get(&(1, 2)).copied().unwrap_or(0);
        let payload = [&number.to_be_bytes()[..], &vec![0; size - OVERHEAD]].concat();
        world.sent.insert((1, 2), number + 1);
        world.cables(1).seal(SwitchId(2), &header(1, 2), &[&payload], &mut caught).unwrap();
        let length = caught.len();
        let now = world.now;
        let opened = world.cables(2).open(now, attacker, &mut caught);
        assert!(matches!(opened, Opened::Record { .. }));
        let answers: Vec<_> = std::iter::from_fn(|| world.cables(2).next_datagram()).collect();
        assert!(answers.iter().all(|(_, bytes)| bytes.len() <= length), "no more than came");
        assert_eq!(destination(&mut world, 2, 1), Ok(home));
        world.run(ms(1000));
        assert_eq!(destination(&mut world, 2, 1), Ok(home));
    }
    assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]));
}

#[test]
fn a_pong_caught_and_sent_from_elsewhere_diverts_nothing() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run(ms(3000));
    let (one, two) = (world.hosts[&1].address, world.hosts[&2].address);
    let now = world.now;
    let mut frame = Vec::new();
    world.cables(1).seal(SwitchId(2), &header(1, 2), &[&[0; 100]], &mut frame).unwrap();
    world.cables(2).open(now, at("203.0.113.66:666"), &mut frame);
    let (_, mut ping) = world.cables(2).next_datagram().unwrap();
    world.cables(1).open(now, two, &mut ping);
    let (to, mut pong) = world.cables(1).next_datagram().unwrap();
    assert_eq!(to, two);
    assert_eq!(world.cables(2).open(now, at("203.0.113.77:777"), &mut pong), Opened::Handled);
    assert_eq!(destination(&mut world, 2, 1), Ok(one));
}

#[test]
fn frames_are_as_large_as_the_path_proved_to_carry() {
    for (largest, limit) in [(600, 508), (1250, 1200), (1472, 1472), (65_507, 8972)] {
        let mut world = World::new(largest as u64, 2);
        world.largest = largest;
        world.start_all();
        world.run_until(ms(2000), World::all_up);
        world.run(ms(2000));
        let room = world.cables(1).room(SwitchId(2));
        assert_eq!(room, limit - OVERHEAD);
        assert_eq!(world.status(1, 2).datagram, limit);
        assert!(world.send(1, 2, room) && !world.send(1, 2, room + 1));
        world.run(ms(100));
        assert_eq!(world.lost(1, 2), 0);
    }
}

#[test]
fn a_path_that_becomes_narrow_is_found_out_and_the_cable_stays_up() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run(ms(3000));
    world.largest = 1300;
    let mut took = 0;
    while world.cables(1).room(SwitchId(2)) > 1300 - OVERHEAD {
        let room = world.cables(1).room(SwitchId(2));
        world.send(1, 2, room);
        world.run(ms(50));
        took += 50;
    }
    assert!(took < 3500, "{took} ms");
    world.run(ms(500));
    assert_eq!(world.status(1, 2).datagram, 1200);
    assert!(world.downs(1).is_empty());
}

#[test]
fn what_the_kernel_refuses_is_not_offered_again() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run(ms(3000));
    let there = world.hosts[&2].address;
    world.cables(1).too_large(there, 1440);
    assert_eq!(world.status(1, 2).datagram, 1432);
}

#[test]
fn far_away_costs_more_than_near_and_the_cost_is_steady() {
    let mut world = World::new(1, 2);
    world.delay = (90, 130);
    world.start_all();
    world.run(Duration::from_secs(120));
    let status = world.status(1, 2);
    let round_trip = status.round_trip_us.unwrap();
    assert!((190_000..250_000).contains(&round_trip), "{round_trip}");
    assert!((1180..1260).contains(&status.cost.unwrap()), "{status:?}");
    let costs = world.hosts[&1].events.iter();
    let costs = costs.filter(|(_, event)| matches!(event, CableEvent::Cost { .. })).count();
    assert!((1..=3).contains(&costs), "{costs}");
}
