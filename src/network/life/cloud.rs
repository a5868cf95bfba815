//! The control plane: it keeps the roster, hears where hosts are, and tells charters, late at times.

use super::chance::Seeded;
use crate::{
    domain::{
        overlay::{CableKey, OverlayCharter, SwitchCard, SwitchId},
        roster::{Epoch, Roster, Speech},
        time::Timestamp,
    },
    network::cable::Moment,
};
use ring::digest;
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

#[derive(Debug)]
pub struct Cloud {
    roster: Roster,
    /// What its host's clock says beyond the time that has passed.
    pub clock_ahead: Duration,
    /// Who cannot speak to it.
    pub apart: BTreeSet<u32>,
    pub is_late: bool,
    chance: Seeded,
}

impl Cloud {
    pub fn new(mut chance: Seeded) -> Cloud {
        Cloud {
            roster: Roster::new(Timestamp::EPOCH, &mut chance),
            clock_ahead: Duration::ZERO,
            apart: BTreeSet::new(),
            is_late: false,
            chance,
        }
    }

    /// A host says where it is. What it is told, if that is news, and when.
    pub fn consult(
        &mut self,
        now: Moment,
        own: u32,
        endpoints: Vec<SocketAddr>,
        known: Option<u64>,
    ) -> Option<(Moment, OverlayCharter)> {
        if self.apart.contains(&own) {
            return None;
        }
        let name = format!("n{own}");
        self.roster.take(&SwitchCard { name: name.clone(), endpoints });
        let clock = Timestamp::EPOCH + now + self.clock_ahead;
        self.roster.turn(clock, &mut self.chance);
        if known.is_some_and(|known| known >= self.roster.revision()) {
            return None;
        }
        let charter = self.roster.charter(&name, key).unwrap();
        assert_eq!(charter.own, SwitchId(own), "hosts register in the order of their numbers");
        let most = if self.is_late { 60_000 } else { 400 };
        Some((now + Duration::from_millis(self.chance.between(5, most)), charter))
    }

    pub fn revision(&self) -> u64 {
        self.roster.revision()
    }
}

fn key(epoch: &Epoch, Speech { from, to }: Speech) -> CableKey {
    let said = [&epoch.secret[..], &from.0.to_be_bytes(), &to.0.to_be_bytes()].concat();
    CableKey(digest::digest(&digest::SHA256, &said).as_ref().try_into().unwrap())
}
