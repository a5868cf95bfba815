//! Random histories by seed: everything goes wrong for a while, and then nothing does.
//!
//! That no nonce repeats, that nothing is accepted twice or altered, and that events come in turn is
//! checked at every step by the underlay and the witness of sealing.

use super::underlay::{Mapping, Seeded, World, ms};
use crate::network::cable::sealing::witness;
use std::time::Duration;

fn trouble(world: &mut World, chance: &mut Seeded, epoch: &mut u32) {
    let count = world.hosts.len() as u64;
    let own = 1 + chance.below(count) as u32;
    let other = 1 + chance.below(count) as u32;
    match chance.below(12) {
        0 | 1 => {
            match chance.below(3) {
                0 => world.hosts.get_mut(&own).unwrap().incarnation += 1,
                1 => world.hosts.get_mut(&own).unwrap().incarnation = 0,
                _ => {}
            }
            world.crash(own);
            if chance.one_in(2) {
                world.start(own);
            }
        }
        2 | 3 if world.hosts[&own].cables.is_none() => world.start(own),
        4 => world.cut_both_ways(own, other),
        5 => {
            world.cut.insert((own, other));
        }
        6 => world.cut.clear(),
        7 => match &mut world.hosts.get_mut(&own).unwrap().nat {
            Some(nat) => nat.forget(),
            None => {
                let host = 10 + chance.below(200) as u8;
                let address = std::net::SocketAddr::from(([192, 0, 2, host], 4500));
                if world.hosts.values().all(|other| other.address != address) {
                    world.hosts.get_mut(&own).unwrap().address = address;
                }
            }
        },
        8 => world.hosts.get_mut(&own).unwrap().clock_ahead = ms(chance.below(100_000_000)),
        9 => {
            // An epoch begins, and is told to one after the other.
            *epoch += 1;
            world.set_epochs(own, &[*epoch - 1, *epoch]);
        }
        10 => world.set_epochs(own, &[*epoch - 1, *epoch]),
        _ => world.loss_percent = chance.below(30),
    }
}

fn history(seed: u64, count: u32, has_nats: bool, seconds: u64) {
    let mut world = World::new(seed, count);
    if has_nats {
        world.put_behind_nat(1, Mapping::Independent);
        world.put_behind_nat(2, Mapping::Independent);
    }
    world.options.renew_after = Duration::from_secs(3);
    world.options.renew_after_datagrams = 500;
    world.attacks = 5;
    world.repeat_percent = 5;
    world.delay = (1, 80);
    let mut chance = Seeded::new(!seed);
    let mut epoch = 1;
    world.start_all();
    for _ in 0..seconds * 10 {
        if chance.one_in(15) {
            trouble(&mut world, &mut chance, &mut epoch);
        }
        for from in 1..=count {
            for to in 1..=count {
                if from != to && world.hosts[&from].cables.is_some() {
                    world.send(from, to, 100);
                }
            }
        }
        world.run(ms(100));
    }
    world.cut.clear();
    (world.loss_percent, world.repeat_percent) = (0, 0);
    for own in 1..=count {
        world.set_epochs(own, &[epoch]);
        if world.hosts[&own].cables.is_none() {
            world.start(own);
        }
    }
    world.run_until(Duration::from_secs(12), World::all_up);
    world.run(ms(1500));
    let downs: usize = (1..=count).map(|own| world.downs(own).len()).sum();
    let (sent, accepted) = (world.sent.clone(), world.accepted.clone());
    for _ in 0..100 {
        for from in 1..=count {
            for to in (1..=count).filter(|to| *to != from) {
                assert!(world.send(from, to, 100), "seed {seed}: {from} to {to}");
            }
        }
        world.run(ms(50));
    }
    world.run(ms(200));
    for (path, before) in sent {
        let came =
            world.accepted[&path].len() - accepted.get(&path).map_or(0, |accepted| accepted.len());
        assert_eq!((came as u64, world.sent[&path] - before), (100, 100), "seed {seed}: {path:?}");
    }
    assert_eq!((1..=count).map(|own| world.downs(own).len()).sum::<usize>(), downs, "seed {seed}");
    assert!(world.refused.len() >= 4, "{:?}", world.refused);
}

#[test]
fn whatever_went_wrong_cables_come_up_again_and_lose_nothing_more() {
    for seed in 0..12 {
        history(seed, 2, false, 60);
    }
    let (keys, datagrams) = witness::count();
    assert!(keys > 500 && datagrams > 10_000, "{keys} keys, {datagrams} datagrams");
}

#[test]
fn so_do_those_of_many_switches_behind_nats() {
    for seed in 100..106 {
        history(seed, 4, true, 60);
    }
}
