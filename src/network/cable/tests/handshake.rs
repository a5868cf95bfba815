//! How cables come up, are renewed and go down.

use super::underlay::{World, ms};
use crate::domain::overlay::SwitchId;
use crate::network::cable::{WhyDown, datagram::HELLO, sealing::witness};
use std::time::Duration;

#[test]
fn a_cable_comes_up_at_both_ends_and_carries_frames_both_ways() {
    let mut world = World::new(1, 2);
    world.listens = true;
    world.start_all();
    let took = world.run_until(ms(1000), World::all_up);
    assert!(took < ms(200), "{took:?}");
    world.run(ms(100));
    for _ in 0..100 {
        assert!(world.send(1, 2, 700) && world.send(2, 1, 40));
    }
    world.run(ms(100));
    assert_eq!((world.lost(1, 2), world.lost(2, 1)), (0, 0));
    assert_eq!(world.downs(1), []);
    let status = world.status(1, 2);
    assert!(status.is_up && status.why_down.is_none() && status.sessions == 1);
    assert_eq!(status.seen_at, Some(world.hosts[&1].address));
    let window = world.heard.windows(13).find(|bytes| *bytes == b"never to be s");
    assert_eq!(window, None, "something was sent in clear");
}

#[test]
fn a_cable_stays_up_over_an_underlay_that_loses_repeats_and_reorders() {
    for seed in 0..4 {
        let mut world = World::new(seed, 2);
        (world.loss_percent, world.repeat_percent, world.delay) = (10, 10, (5, 90));
        world.options.renew_after = Duration::from_secs(5);
        world.start_all();
        world.run_until(Duration::from_secs(5), World::all_up);
        for _ in 0..600 {
            world.send(1, 2, 300);
            world.send(2, 1, 300);
            world.run(ms(100));
        }
        assert!(world.all_up());
        assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]), "seed {seed}");
        assert!(world.status(1, 2).sessions > 8);
        let (loss_in, loss_out) = (world.status(1, 2).loss_in, world.status(1, 2).loss_out);
        assert!((0.02..0.3).contains(&loss_in), "{loss_in}");
        assert!((0.02..0.3).contains(&loss_out), "{loss_out}");
        assert!(world.lost(1, 2) > 0);
    }
}

#[test]
fn renewal_loses_nothing_when_the_underlay_loses_nothing() {
    for (seed, after, datagrams) in [(1, ms(1000), 1 << 22), (2, Duration::from_secs(180), 300)] {
        let mut world = World::new(seed, 2);
        world.delay = (5, 120);
        world.options.renew_after = after;
        world.options.renew_after_datagrams = datagrams;
        world.start_all();
        world.run_until(ms(2000), World::all_up);
        for _ in 0..20_000 {
            assert!(world.send(1, 2, 100) && world.send(2, 1, 100));
            world.run(ms(2));
        }
        world.run(ms(200));
        assert_eq!((world.lost(1, 2), world.lost(2, 1)), (0, 0));
        assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]));
        assert!(world.status(1, 2).sessions > 20, "{:?}", world.status(1, 2));
    }
}

#[test]
fn no_session_seals_more_than_it_may() {
    let mut world = World::new(1, 2);
    world.options.most_datagrams = 500;
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    let sent = (0..1000).filter(|_| world.send(1, 2, 100)).count();
    assert!((400..500).contains(&sent), "{sent}");
    assert!(!world.send(1, 2, 100));
}

#[test]
fn a_dead_cable_is_down_within_a_second_at_both_ends() {
    for (one_way, seed) in [(false, 1), (true, 2), (false, 3), (true, 4)] {
        let mut world = World::new(seed, 2);
        world.start_all();
        world.run(ms(3000 + 31 * seed));
        assert!(world.all_up());
        world.cut.insert((1, 2));
        if !one_way {
            world.cut.insert((2, 1));
        }
        let took = world.run_until(ms(1000), |world| {
            !world.hosts[&1].up.contains(&2) && !world.hosts[&2].up.contains(&1)
        });
        assert!(took >= ms(500), "{took:?}");
        assert!(!world.send(1, 2, 100));
        let why = &world.downs(1)[0];
        assert_eq!(*why, WhyDown::Silent { address: world.hosts[&2].address });
        world.run(Duration::from_secs(20));
        let why = world.status(1, 2).why_down.unwrap();
        assert_eq!(why, "no answer from any of `192.0.2.2:4500`");
        world.cut.clear();
        world.run_until(ms(5500), World::all_up);
    }
}

#[test]
fn unreachable_peers_are_called_rarely() {
    let mut world = World::new(1, 2);
    world.start(1);
    world.listens = true;
    world.run(Duration::from_secs(60));
    let hellos = world.heard.len() / HELLO;
    assert!((14..24).contains(&hellos), "{hellos}");
}

#[test]
fn after_a_restart_both_ends_see_the_cable_come_up_anew() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    world.crash(1);
    world.start(1);
    world.run_until(ms(1000), World::all_up);
    world.run(ms(100));
    assert_eq!(world.downs(2), [WhyDown::BeganAnew]);
    assert!(world.send(1, 2, 100) && world.send(2, 1, 100));
    world.run(ms(100));
    assert_eq!((world.lost(1, 2), world.lost(2, 1)), (0, 0));
}

#[test]
fn restarts_at_any_moment_and_lost_files_repeat_no_nonce() {
    for seed in 0..20 {
        let mut world = World::new(seed, 2);
        world.start_all();
        for _ in 0..40 {
            let own = 1 + world.chance.below(2) as u32;
            let pause = world.chance.below(700);
            world.run(ms(pause));
            world.send(own, 3 - own, 50);
            match world.chance.below(4) {
                // A crash after the number was written, and before anything was sealed.
                0 => world.hosts.get_mut(&own).unwrap().incarnation += 1,
                // The file is lost: lives are numbered as before.
                1 => world.hosts.get_mut(&own).unwrap().incarnation = 0,
                _ => {}
            }
            world.crash(own);
            world.start(own);
        }
        world.run_until(ms(5000), World::all_up);
    }
    let (keys, datagrams) = witness::count();
    assert!(keys > 1000 && datagrams > 5000, "{keys} keys, {datagrams} datagrams");
}

#[test]
fn a_life_that_is_numbered_like_an_earlier_one_is_no_stranger() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    for _ in 0..5 {
        world.crash(1);
        world.hosts.get_mut(&1).unwrap().incarnation = 0;
        world.start(1);
        world.run(ms(1000));
        assert!(world.all_up());
    }
}

#[test]
fn a_switch_that_stops_says_so() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    world.cables(1).close();
    world.run(ms(0));
    let datagrams: Vec<_> = std::iter::from_fn(|| world.cables(1).next_datagram()).collect();
    assert_eq!(datagrams.len(), 1);
    let from = world.hosts[&1].address;
    let refused = world.hand_over(2, from, &mut datagrams[0].1.clone(), None);
    assert_eq!((refused, world.downs(2)), (None, vec![WhyDown::Left]));
    assert_eq!(world.cables(1).status(), []);
}

#[test]
fn a_new_epoch_is_taken_up_without_loss_whoever_learns_of_it_first() {
    for first in [1, 2] {
        let mut world = World::new(u64::from(first), 2);
        world.start_all();
        world.run_until(ms(1000), World::all_up);
        for step in 0..400 {
            match step {
                50 => world.set_epochs(first, &[1, 2]),
                150 => world.set_epochs(3 - first, &[1, 2]),
                250 => world.set_epochs(first, &[2]),
                300 => world.set_epochs(3 - first, &[2]),
                _ => {}
            }
            let epoch = if step < 150 { 1 } else { 2 };
            if step != 150 && !(150..170).contains(&step) {
                assert_eq!(world.status(1, 2).epoch, Some(epoch), "step {step}");
            }
            assert!(world.send(1, 2, 100) && world.send(2, 1, 100));
            world.run(ms(50));
        }
        world.run(ms(100));
        assert_eq!((world.lost(1, 2), world.lost(2, 1)), (0, 0));
        assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]));
    }
}

#[test]
fn without_a_common_epoch_there_is_no_cable_and_the_reason_is_told() {
    let mut world = World::new(1, 2);
    world.hosts.get_mut(&1).unwrap().charter = world.full_charter(1, &[7]);
    world.hosts.get_mut(&2).unwrap().charter = world.full_charter(2, &[5, 6]);
    world.start_all();
    world.run(Duration::from_secs(5));
    assert!(world.hosts.values().all(|host| host.up.is_empty()));
    let why = world.status(2, 1).why_down.unwrap();
    assert_eq!(why, "no key of a common epoch: it calls with epoch 7, keys are here for [5, 6]");
    world.set_epochs(1, &[5, 7]);
    world.run_until(ms(3000), World::all_up);
    assert_eq!(world.status(1, 2).epoch, Some(5));
}

#[test]
fn with_other_keys_there_is_no_cable_and_the_reason_is_told() {
    let mut world = World::new(1, 2);
    let mut charter = world.full_charter(1, &[1]);
    charter.peers[0].keys[0].sending.0[9] ^= 1;
    world.hosts.get_mut(&1).unwrap().charter = charter;
    world.start_all();
    world.run(Duration::from_secs(5));
    assert!(world.hosts.values().all(|host| host.up.is_empty()));
    let why = world.status(2, 1).why_down.unwrap();
    assert_eq!(why, "its hellos do not open with the key of epoch 1 here");
}

#[test]
fn keys_that_are_withdrawn_open_and_seal_nothing_more() {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    world.send(2, 1, 100);
    world.set_epochs(1, &[2]);
    assert_eq!(world.downs(1), [WhyDown::KeysWithdrawn]);
    assert!(!world.send(1, 2, 100));
    world.run(ms(50));
    assert_eq!(world.lost(2, 1), 1);
    assert_eq!(world.cables(1).room(SwitchId(2)), 0);
}

#[test]
fn a_peer_that_the_managers_name_no_more_is_cut_off_at_once() {
    let mut world = World::new(1, 3);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    let mut charter = world.hosts[&1].charter.clone();
    charter.revision += 1;
    charter.peers.retain(|peer| peer.switch != SwitchId(2));
    world.set_charter(1, charter.clone());
    assert_eq!(world.downs(1), [WhyDown::NotInCharter]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.downs(2), [WhyDown::Left]);
    assert!(world.is_up(1, 3) && world.is_up(2, 3) && !world.is_up(1, 2));
    let older = world.full_charter(1, &[1]);
    world.set_charter(1, older);
    world.run(Duration::from_secs(5));
    assert!(!world.is_up(1, 2), "an older charter is not news");
    charter.peers = world.full_charter(1, &[1]).peers;
    world.set_charter(1, charter);
    world.run_until(ms(5000), World::all_up);
}

#[test]
fn clocks_that_are_stepped_take_no_cable_down() {
    let mut world = World::new(1, 2);
    world.hosts.get_mut(&1).unwrap().clock_ahead = Duration::from_secs(100_000);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    for seconds in [0, 200_000, 199_999, 1, 100_000, 7] {
        world.hosts.get_mut(&1).unwrap().clock_ahead = Duration::from_secs(seconds);
        for _ in 0..20 {
            assert!(world.send(1, 2, 100));
            world.run(ms(100));
        }
    }
    assert_eq!((world.downs(1), world.downs(2)), (vec![], vec![]));
    assert_eq!(world.lost(1, 2), 0);
}
