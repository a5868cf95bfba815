//! The life of an overlay in simulated time, by seed: whole hosts, each a switch with its cables,
//! over an underlay where everything goes wrong. What must hold is watched at every step:
//!
//! - no key seals twice with one nonce (`cable::sealing::witness`);
//! - no frame comes to a foreign network, and no answer from one;
//! - no frame comes twice to a port, or goes round (`watch`);
//! - whoever can be reached is reached again when nothing new breaks (`troubles`);
//! - a whole mesh gets round the loss of one cable or switch within two seconds.
//!
//! Not here: sockets, fragments and pieces, filters, other hosts' kernels.

mod chance;
mod cloud;
mod probe;
mod process;
mod troubles;
mod underlay;
mod watch;
mod world;

use probe::Guest;
use process::Sabotage;
use std::time::Duration;
use watch::Account;
use world::World;

/// In a thread of its own: the witness of sealing remembers what a thread has sealed.
fn life(seed: u64, time: Duration, sabotage: Option<Sabotage>) -> Account {
    let hidden = (seed % 3) as u32;
    let lives = std::thread::spawn(move || {
        let mut world = World::new(seed, 5, hidden, sabotage);
        world.live(time);
        world.watch.account()
    });
    lives.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault))
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A day takes minutes of a processor, so there are ten minutes of it for each of three seeds,
/// unless `MALLEE_OVERLAY_MINUTES` and `MALLEE_OVERLAY_SEEDS` (as `7` or `1-20`) say otherwise.
#[test]
fn an_overlay_lives_through_minutes_of_whatever_goes_wrong_or_through_a_day_if_asked() {
    let said = |name| std::env::var(name).ok();
    let time = said("MALLEE_OVERLAY_MINUTES").map_or(10, |minutes| minutes.parse().unwrap());
    let seeds = said("MALLEE_OVERLAY_SEEDS").unwrap_or("1-3".to_owned());
    let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
    for seed in first.parse().unwrap()..=last.parse().unwrap() {
        println!("seed {seed}");
        let account = life(seed, minutes(time), None);
        println!("{account:#?}");
        assert!(account.censuses > 2 && account.pairs > 40 && account.downs > 0, "{account:?}");
    }
}

#[test]
fn the_same_seed_tells_the_same_history() {
    let lives = [3, 3, 4].map(|seed| life(seed, minutes(2), None));
    assert_eq!(lives[0], lives[1]);
    assert_ne!(lives[0].history, lives[2].history);
}

/// Nothing that it says then is later than what it said before, or differs by its number.
#[test]
fn a_host_that_has_lost_its_disk_is_known_by_the_guests_it_has_now() {
    let mut world = World::new(1, 2, 0, None);
    world.underlay.weather.delay_ms = (1, 2);
    for guest in world.guests.keys().copied().collect::<Vec<_>>() {
        world.detach(guest);
    }
    for own in [1, 2] {
        world.crash(own);
        world.guests.insert(Guest { network: 7, number: own as u8 }, own);
        world.hosts.get_mut(&own).unwrap().disk = 0;
        world.start(own);
    }
    world.run(Duration::from_secs(10));
    world.crash(2);
    world.hosts.get_mut(&2).unwrap().disk = 0;
    world.guests.remove(&Guest { network: 7, number: 2 });
    world.run(Duration::from_secs(3));
    world.guests.insert(Guest { network: 7, number: 3 }, 2);
    world.start(2);
    world.run(Duration::from_secs(20));
    let pairs = world.pairs();
    assert_eq!(pairs.len(), 2);
    assert_eq!(world.unreached(&pairs, Duration::from_secs(1)), []);
}

#[test]
fn switches_with_many_guests_know_each_other_over_narrow_paths() {
    let mut world = World::new(1, 3, 0, None);
    world.underlay.largest = underlay::NARROW;
    let last = Guest { network: 7, number: 200 };
    for number in 10..200 {
        world.attach(Guest { number, ..last }, 1);
    }
    world.attach(last, 2);
    world.run(Duration::from_secs(10));
    let pairs: Vec<_> = world.pairs().into_iter().filter(|(from, _)| *from == last).collect();
    assert!(pairs.len() > 190);
    assert_eq!(world.unreached(&pairs, Duration::from_secs(1)), []);
}

#[test]
#[should_panic(expected = "was used twice with one key")]
fn an_incarnation_that_is_not_written_down_is_noticed() {
    life(1, minutes(10), Some(Sabotage::ForgetfulDisk));
}

#[test]
#[should_panic(expected = "a frame came to a foreign network")]
fn frames_that_come_out_in_another_network_are_noticed() {
    life(1, minutes(10), Some(Sabotage::CrossedNetworks));
}

#[test]
#[should_panic(expected = "guests do not reach")]
fn a_switch_that_is_not_told_of_lost_cables_is_noticed() {
    life(1, minutes(60), Some(Sabotage::SilentDowns));
}

#[test]
#[should_panic(expected = "a frame came twice to a port")]
fn broadcasts_that_are_repeated_are_noticed() {
    life(1, minutes(10), Some(Sabotage::EchoedBroadcasts));
}
