//! What goes wrong in a day, and what is looked at when it has.

use super::{
    probe::Guest,
    underlay::Weather,
    world::{World, ms},
};
use std::time::Duration;

/// What is not broken anew for so long has healed.
const QUIET: Duration = Duration::from_secs(20);
/// A lost cable or switch of a whole mesh is got round in this time.
const HEAL: Duration = Duration::from_secs(2);
/// Frames may fall into the moment in which ways change; not again and again.
const ROUNDS: usize = 3;

impl World {
    /// Troubles, quiet, and a look; over and over.
    pub fn live(&mut self, time: Duration) {
        let until = self.now + time;
        self.quiet(QUIET);
        while self.now < until {
            for _ in 0..self.chance.below(12) {
                self.trouble();
                let pause = ms(self.chance.between(20, 4_000));
                self.chat(pause);
            }
            let is_healed = !self.chance.one_in(3);
            if is_healed {
                self.mend();
            }
            self.underlay.weather = Weather::FAIR;
            self.quiet(QUIET);
            self.census();
            if self.is_whole() && !self.chance.one_in(3) {
                self.lose_one();
            }
            let has_time = until.saturating_sub(self.now) > Duration::from_secs(3600);
            if self.chance.one_in(25) && has_time {
                // Long enough for switches that are cut off to be forgotten.
                let minutes = self.chance.between(31, 45);
                self.quiet(Duration::from_secs(60 * minutes));
                self.census();
            }
        }
        self.watch.account.revisions = self.cloud.revision();
        self.watch.account.datagrams = self.underlay.sent;
    }

    fn trouble(&mut self) {
        self.watch.account.troubles += 1;
        let count = self.hosts.len() as u64;
        let own = self.chance.between(1, count) as u32;
        let other = self.chance.between(1, count) as u32;
        match self.chance.below(22) {
            0 => self.crash(own),
            1 | 2 => {
                self.crash(own);
                // The number may be written by lives that end before they say a word.
                self.hosts.get_mut(&own).unwrap().disk += self.chance.below(2);
                self.start(own);
            }
            3 | 4 => self.start(own),
            5 => {
                // The disk is lost with the process.
                self.crash(own);
                self.hosts.get_mut(&own).unwrap().disk = 0;
                self.start(own);
            }
            6 => {
                let time = ms(self.chance.between(100, 6_000));
                self.hosts.get_mut(&own).unwrap().stopped_until = self.now + time;
            }
            7 => {
                self.underlay.cut.insert((own, other));
            }
            8 | 9 => self.underlay.cut_both_ways(own, other),
            10 => {
                for (a, b) in self.cables() {
                    if (a <= own) != (b <= own) {
                        self.underlay.cut_both_ways(a, b);
                    }
                }
            }
            11 => self.underlay.cut.clear(),
            12 | 13 => self.underlay.roam(own),
            14 => {
                // The wall clock is stepped, which may be taken for the end of an epoch.
                self.cloud.clock_ahead = Duration::from_secs(self.chance.below(400_000));
            }
            15 => {
                self.cloud.apart.insert(own);
            }
            16 => self.cloud.apart.clear(),
            17 => self.cloud.is_late = self.chance.one_in(2),
            18 => self.move_guest(own),
            19 => self.move_guest(own),
            _ => {
                self.underlay.weather = Weather {
                    loss_percent: self.chance.below(30),
                    repeat_percent: self.chance.below(20),
                    delay_ms: self.chance.pick(&[(1, 12), (5, 40), (1, 150), (100, 110)]),
                };
            }
        }
    }

    fn move_guest(&mut self, to: u32) {
        let all: Vec<Guest> = self.guests.keys().copied().collect();
        let guest = self.chance.pick(&all);
        let from = self.guests[&guest];
        if !self.is_running(to) || !self.is_running(from) {
            return;
        }
        if self.chance.one_in(2) {
            return self.migrate(guest, to);
        }
        self.detach(guest);
        let pause = ms(self.chance.below(2_000));
        self.run(pause);
        self.attach(guest, to);
    }

    fn mend(&mut self) {
        self.underlay.cut.clear();
        self.cloud.apart.clear();
        self.cloud.is_late = false;
        for own in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.start(own);
        }
    }

    /// Guests talk with each other while time passes.
    fn chat(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let guests: Vec<Guest> = self.guests.keys().copied().collect();
            let (from, to) = (self.chance.pick(&guests), self.chance.pick(&guests));
            if self.chance.one_in(4) {
                self.send(from, None);
            } else if from.network == to.network && from != to {
                self.send(from, Some(to));
            } else {
                self.ask(from, to);
            }
            let pause = ms(self.chance.between(10, 200)).min(until - self.now);
            self.run(pause);
        }
    }

    fn quiet(&mut self, time: Duration) {
        // What was said late arrives; what was stopped runs again.
        let late = if self.cloud.is_late { Duration::from_secs(70) } else { ms(7_000) };
        self.run(late + time);
    }

    /// Everybody must reach whoever can be reached.
    fn census(&mut self) {
        self.watch.account.censuses += 1;
        let mut left = self.pairs();
        self.watch.account.pairs += left.len() as u64;
        for _ in 0..ROUNDS {
            left = self.unreached(&left, ms(200));
        }
        assert!(
            left.is_empty(),
            "at {:?} guests do not reach: {left:?}\n{}",
            self.now,
            self.situation()
        );
    }

    /// Those pairs of which the second does not hear the first, by its own name or as one of all,
    /// or whose address the first does not learn.
    pub fn unreached(
        &mut self,
        pairs: &[(Guest, Guest)],
        patience: Duration,
    ) -> Vec<(Guest, Guest)> {
        let sent = self.send_all(pairs);
        self.run(patience);
        let mut left = Vec::new();
        for (from, to, numbers) in sent {
            let has_come = numbers.iter().all(|number| self.watch.has_come(*number, to));
            let copies = self.watch.copies(numbers[1]);
            assert!(copies < self.hosts.len(), "a frame for all left its tree: {copies} copies");
            let answer = self.watch.take_answer(from, to.ip());
            assert!(answer.is_none_or(|mac| mac == to.mac()), "{from:?} was told of a foreigner");
            if !has_come || answer.is_none() {
                left.push((from, to));
            }
        }
        left
    }

    fn send_all(&mut self, pairs: &[(Guest, Guest)]) -> Vec<(Guest, Guest, [u64; 2])> {
        let mut for_all = std::collections::BTreeMap::new();
        let mut sent = Vec::new();
        for (from, to) in pairs {
            self.ask(*from, *to);
            let own = self.send(*from, Some(*to));
            let all = match for_all.get(from) {
                Some(number) => *number,
                None => self.send(*from, None),
            };
            for_all.insert(*from, all);
            sent.push((*from, *to, [own, all]));
        }
        sent
    }

    /// A cable or a switch goes, and everybody else finds another way.
    fn lose_one(&mut self) {
        const STEP: Duration = Duration::from_millis(100);
        let cables = self.cables();
        let (a, b) = self.chance.pick(&cables);
        let lost = if self.chance.one_in(2) { Some(a) } else { None };
        match lost {
            Some(own) => self.crash(own),
            None => self.underlay.cut_both_ways(a, b),
        }
        let pairs = self.pairs();
        let mut heal = Duration::ZERO;
        let steps = (HEAL.as_millis() / STEP.as_millis()) as u32 + 3;
        let mut sent = Vec::new();
        for step in 0..steps {
            sent.push((step, self.send_all(&pairs)));
            self.run(STEP);
        }
        self.run(ms(200));
        for (step, sent) in sent {
            for (_, to, numbers) in sent {
                if numbers.iter().any(|number| !self.watch.has_come(*number, to)) {
                    heal = STEP * (step + 1);
                }
            }
        }
        let account = &mut self.watch.account;
        account.losses += 1;
        account.longest_heal = account.longest_heal.max(heal);
        let lost = lost.map_or(format!("cable {a} {b}"), |own| format!("switch {own}"));
        assert!(heal <= HEAL, "at {:?} guests do not reach around {lost}: {heal:?}", self.now);
        self.mend();
        self.quiet(QUIET);
        self.census();
    }
}
