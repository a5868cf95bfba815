//! Time and chance, handed in from the top, so that tests and the simulator own them.
//!
//! Nothing below `boot` asks the operating system what time it is or for random bytes. A seeded
//! ambience replays: its clock moves only when told, or with tokio's, and its chance follows from
//! the seed and the label of who asks, whatever others asked in between.
//!
//! Not here: timers. Waiting is tokio's, whose time tests and the simulator pause.

use crate::domain::{chance::Chance, time::Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub struct Ambient(Source);

/// The hand on a seeded ambience's clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

#[derive(Debug, Clone)]
enum Source {
    System,
    Seeded { streams: Arc<Streams>, clock: ManualClock },
    Virtual { streams: Arc<Streams>, begun: Instant, begin: Timestamp },
}

#[derive(Debug)]
struct Streams {
    seed: u64,
    /// How many streams each label has been given, so that no two are the same.
    given: Mutex<HashMap<String, u64>>,
}

impl Ambient {
    pub fn system() -> Ambient {
        Ambient(Source::System)
    }

    pub fn seeded(seed: u64, begin: Timestamp) -> (Ambient, ManualClock) {
        let clock = ManualClock(Arc::new(AtomicI64::new(begin.as_millis())));
        let streams = Arc::new(Streams { seed, given: Mutex::default() });
        (Ambient(Source::Seeded { streams, clock: clock.clone() }), clock)
    }

    /// Goes with tokio's time from now on, which is `begin`: where that is paused, the clock and
    /// every timer say the same.
    pub fn in_virtual_time(seed: u64, begin: Timestamp) -> Ambient {
        let streams = Arc::new(Streams { seed, given: Mutex::default() });
        Ambient(Source::Virtual { streams, begun: Instant::now(), begin })
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Virtual { begun, begin, .. } => *begin + begun.elapsed(),
            Source::Seeded { clock, .. } => clock.now(),
        }
    }

    /// A stream of chance for `label`, independent of those for other labels. Asked again for one
    /// label, it is a further stream, and again the same further one for the same seed.
    pub fn chance(&self, label: &str) -> Box<dyn Chance> {
        match &self.0 {
            Source::System => Box::new(SystemChance(SystemRandom::new())),
            Source::Seeded { streams, .. } | Source::Virtual { streams, .. } => {
                Box::new(streams.stream(label))
            }
        }
    }
}

impl ManualClock {
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("no test spans 290 million years");
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the machine's clock is set to a time after 1970");
    Timestamp(
        i64::try_from(since_epoch.as_millis()).expect("the clock is within 290 million years"),
    )
}

#[derive(Debug)]
struct SystemChance(SystemRandom);

impl Chance for SystemChance {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Going on with guessable bytes would make guessable keys.
        self.0.fill(bytes).expect("the kernel gives random bytes once the machine has booted");
    }
}

impl Streams {
    fn stream(&self, label: &str) -> SeededChance {
        let number = {
            let mut given = self.given.lock().expect("nothing panics while it holds the counts");
            let next = given.entry(label.to_owned()).or_default();
            let number = *next;
            *next += 1;
            number
        };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.seed.to_be_bytes());
        context.update(&number.to_be_bytes());
        context.update(label.as_bytes());
        let seed = context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        SeededChance(ChaCha20Rng::from_seed(seed))
    }
}

#[derive(Debug)]
struct SeededChance(ChaCha20Rng);

impl Chance for SeededChance {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(ambient: &Ambient, label: &str) -> [u8; 16] {
        let mut bytes = [0; 16];
        ambient.chance(label).fill(&mut bytes);
        bytes
    }

    fn seeded(seed: u64) -> Ambient {
        Ambient::seeded(seed, Timestamp::EPOCH).0
    }

    #[test]
    fn the_same_seed_replays_whatever_others_asked_in_between() {
        let (one, other) = (seeded(7), seeded(7));
        draw(&other, "addresses");
        assert_eq!(draw(&one, "ids"), draw(&other, "ids"));
        assert_eq!(draw(&one, "ids"), draw(&other, "ids"));
    }

    #[test]
    fn seeds_labels_and_repeated_asking_all_give_different_streams() {
        let ambient = seeded(7);
        let drawn = [
            draw(&ambient, "ids"),
            draw(&ambient, "ids"),
            draw(&ambient, "keys"),
            draw(&seeded(8), "ids"),
        ];
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), drawn.len());
    }

    #[test]
    fn a_seeded_clock_moves_only_when_told_and_for_all_its_copies() {
        let (ambient, clock) = Ambient::seeded(7, Timestamp(1000));
        let copy = ambient.clone();
        assert_eq!(ambient.now(), Timestamp(1000));
        clock.advance(Duration::from_millis(5));
        assert_eq!(copy.now(), Timestamp(1005));
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_goes_with_the_timers_and_replays_chance_as_a_seeded_one_does() {
        let ambient = Ambient::in_virtual_time(7, Timestamp(1000));
        assert_eq!(ambient.now(), Timestamp(1000));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(ambient.now(), Timestamp(3_601_000));
        assert_eq!(draw(&ambient, "ids"), draw(&seeded(7), "ids"));
    }

    #[test]
    fn the_system_ambience_has_the_time_of_the_machine_and_never_repeats_itself() {
        let ambient = Ambient::system();
        let before = system_now();
        assert!(ambient.now() >= before);
        assert_ne!(draw(&ambient, "ids"), draw(&ambient, "ids"));
    }
}
