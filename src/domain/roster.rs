//! Who belongs to the overlay: its switches, their numbers, and the secret that their keys come from.
//!
//! The cloud keeps it. A switch is in it from its first word until its host is expelled, heard of or
//! not: whether a switch can be reached is the cables' business. A number is never given twice.
//!
//! Keys are not kept but derived, of the epoch's secret and of who speaks to whom. How is handed in,
//! since the domain knows no cryptography.

use super::{
    chance::Chance,
    overlay::{CableKey, EpochKeys, OverlayCharter, OverlayPeer, SwitchCard, SwitchId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

/// How long keys are given out before there are others. Cables renew what they seal with far more
/// often, of these.
pub const EPOCH: Duration = Duration::from_secs(24 * 3600);

/// How many epochs' keys a switch has at one time.
const EPOCHS: usize = 2;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    pub number: u32,
    pub secret: [u8; 32],
    pub begun_at: Timestamp,
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({}, <redacted>)", self.number)
    }
}

/// Whom a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    pub from: SwitchId,
    pub to: SwitchId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Grows with every change.
    revision: u64,
    last: SwitchId,
    switches: BTreeMap<String, Entry>,
    /// The newest last; never empty.
    epochs: Vec<Epoch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    switch: SwitchId,
    endpoints: Vec<SocketAddr>,
}

impl Roster {
    pub fn new(now: Timestamp, chance: &mut dyn Chance) -> Roster {
        let first = epoch(1, now, chance);
        Roster {
            revision: 1,
            last: SwitchId::EVERYBODY,
            switches: BTreeMap::new(),
            epochs: vec![first],
        }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.switches.keys().map(String::as_str)
    }

    /// Takes a switch's word for where it is; whether that was news.
    pub fn take(&mut self, card: &SwitchCard) -> bool {
        match self.switches.get_mut(&card.name) {
            Some(known) if known.endpoints == card.endpoints => return false,
            Some(known) => known.endpoints.clone_from(&card.endpoints),
            None => {
                self.last = SwitchId(self.last.0 + 1);
                let entry = Entry { switch: self.last, endpoints: card.endpoints.clone() };
                self.switches.insert(card.name.clone(), entry);
            }
        }
        self.revision += 1;
        true
    }

    /// Leaves those in whom `stays` says; whether any had to go.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool) -> bool {
        let before = self.switches.len();
        self.switches.retain(|name, _| stays(name));
        let changed = self.switches.len() != before;
        self.revision += u64::from(changed);
        changed
    }

    /// Begins a new epoch if it is time.
    pub fn turn(&mut self, now: Timestamp, chance: &mut dyn Chance) -> bool {
        let newest = self.epochs.last().expect("there is always an epoch");
        if now.since(newest.begun_at) < EPOCH {
            return false;
        }
        self.epochs.push(epoch(newest.number + 1, now, chance));
        self.epochs.drain(..self.epochs.len().saturating_sub(EPOCHS));
        self.revision += 1;
        true
    }

    /// What a switch is told; nothing, if it is not in here.
    pub fn charter(
        &self,
        name: &str,
        derive: impl Fn(&Epoch, Speech) -> CableKey,
    ) -> Option<OverlayCharter> {
        let own = self.switches.get(name)?.switch;
        let keys = |peer: SwitchId| {
            let of = |epoch: &Epoch| EpochKeys {
                epoch: epoch.number,
                sending: derive(epoch, Speech { from: own, to: peer }),
                receiving: derive(epoch, Speech { from: peer, to: own }),
            };
            self.epochs.iter().map(of).collect()
        };
        let others = self.switches.iter().filter(|(_, entry)| entry.switch != own);
        let peers = others.map(|(name, entry)| OverlayPeer {
            switch: entry.switch,
            name: name.clone(),
            endpoints: entry.endpoints.clone(),
            keys: keys(entry.switch),
        });
        Some(OverlayCharter {
            revision: self.revision,
            own,
            own_name: name.to_owned(),
            peers: peers.collect(),
        })
    }
}

fn epoch(number: u32, begun_at: Timestamp, chance: &mut dyn Chance) -> Epoch {
    let mut secret = [0; 32];
    chance.fill(&mut secret);
    Epoch { number, secret, begun_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chance::Counting;

    fn at(hours: i64) -> Timestamp {
        Timestamp(hours * 3_600_000)
    }

    fn card(name: &str, endpoint: &str) -> SwitchCard {
        SwitchCard { name: name.to_owned(), endpoints: vec![endpoint.parse().unwrap()] }
    }

    fn derive(epoch: &Epoch, speech: Speech) -> CableKey {
        let mut key = epoch.secret;
        key[0] = speech.from.0 as u8;
        key[1] = speech.to.0 as u8;
        CableKey(key)
    }

    fn of_two() -> Roster {
        let mut roster = Roster::new(at(0), &mut Counting::default());
        assert!(roster.take(&card("cloud", "192.0.2.1:8777")));
        assert!(roster.take(&card("east", "192.0.2.2:8777")));
        roster
    }

    #[test]
    fn what_one_seals_with_the_other_opens_with() {
        let roster = of_two();
        let cloud = roster.charter("cloud", derive).unwrap();
        let east = roster.charter("east", derive).unwrap();
        assert_eq!((cloud.own, east.own), (SwitchId(1), SwitchId(2)));
        assert_eq!(cloud.peers[0].switch, east.own);
        assert_eq!(cloud.peers[0].keys[0].sending, east.peers[0].keys[0].receiving);
        assert_eq!(cloud.peers[0].keys[0].receiving, east.peers[0].keys[0].sending);
        assert_ne!(cloud.peers[0].keys[0].receiving, cloud.peers[0].keys[0].sending);
        assert_eq!(roster.charter("west", derive), None);
    }

    #[test]
    fn a_known_switch_keeps_its_number_and_an_expelled_one_s_is_not_given_again() {
        let mut roster = of_two();
        let before = roster.revision();
        assert!(!roster.take(&card("east", "192.0.2.2:8777")));
        assert_eq!(roster.revision(), before);
        assert!(roster.take(&card("east", "192.0.2.9:8777")));
        assert_eq!(roster.charter("east", derive).unwrap().own, SwitchId(2));
        assert!(roster.retain(|name| name != "east"));
        assert!(!roster.retain(|name| name != "east"));
        assert!(roster.take(&card("east", "192.0.2.9:8777")));
        assert_eq!(roster.charter("east", derive).unwrap().own, SwitchId(3));
        assert_eq!(roster.revision(), before + 3);
    }

    #[test]
    fn a_new_epoch_leaves_the_keys_of_the_one_before_until_the_next() {
        let mut roster = of_two();
        let mut chance = Counting::default();
        assert!(!roster.turn(at(23), &mut chance));
        let epochs = |roster: &Roster| -> Vec<u32> {
            let charter = roster.charter("east", derive).unwrap();
            charter.peers[0].keys.iter().map(|keys| keys.epoch).collect()
        };
        assert_eq!(epochs(&roster), [1]);
        assert!(roster.turn(at(24), &mut chance));
        assert_eq!(epochs(&roster), [1, 2]);
        assert!(roster.turn(at(48), &mut chance));
        assert_eq!(epochs(&roster), [2, 3]);
    }
}
