//! The cloud's roster of switches, on the disk of the cloud manager's host.
//!
//! What is told to anybody was written before: a number or a secret that was lost might be given
//! twice.

use super::switch_name;
use crate::{
    ambient::Ambient,
    config::state_directory::write_private,
    domain::{
        chance::Chance,
        overlay::{CableKey, OverlayCharter, SwitchCard},
        roster::{Epoch, Roster, Speech},
    },
    transport::identity::Identity,
};
use ring::hmac;
use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

pub struct Keeper {
    place: PathBuf,
    kept: Mutex<Kept>,
    ambient: Ambient,
    /// Changes with the roster.
    changes: watch::Sender<u64>,
}

struct Kept {
    roster: Roster,
    chance: Box<dyn Chance>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.place.display())
    }
}

impl Keeper {
    /// Finds the roster, or begins one.
    pub fn open(place: &Path, ambient: &Ambient) -> io::Result<Keeper> {
        let mut chance = ambient.chance("overlay-secrets");
        let roster = match fs::read(place) {
            Ok(json) => serde_json::from_slice(&json).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let roster = Roster::new(ambient.now(), &mut *chance);
                write_private(place, &text(&roster)?)?;
                roster
            }
            Err(error) => return Err(error),
        };
        let changes = watch::Sender::new(roster.revision());
        let kept = Mutex::new(Kept { roster, chance });
        Ok(Keeper { place: place.to_owned(), kept, ambient: ambient.clone(), changes })
    }

    /// Takes switches' words for where they are. Blocks.
    pub fn take(&self, cards: &[SwitchCard]) -> io::Result<()> {
        self.change(|kept| cards.iter().fold(false, |news, card| kept.roster.take(card) || news))
    }

    /// Takes the switches of hosts that are not members any more out of it. Blocks.
    pub fn keep_members(&self, members: &[Identity], here: &BTreeSet<String>) -> io::Result<()> {
        let names: BTreeSet<String> = members.iter().map(switch_name).collect();
        self.change(|kept| kept.roster.retain(|name| here.contains(name) || names.contains(name)))
    }

    /// Begins new keys if it is time. Blocks.
    pub fn turn(&self) -> io::Result<()> {
        let now = self.ambient.now();
        self.change(|Kept { roster, chance }| roster.turn(now, &mut **chance))
    }

    /// What a switch is told that has the charter of this revision: nothing if there is no newer.
    pub fn charter(&self, name: &str, known: u64) -> Option<OverlayCharter> {
        let kept = self.kept();
        (kept.roster.revision() != known).then(|| kept.roster.charter(name, derive)).flatten()
    }

    /// Sees each change from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes it, here and on the disk or nowhere.
    fn change(&self, change: impl FnOnce(&mut Kept) -> bool) -> io::Result<()> {
        let mut kept = self.kept();
        let before = kept.roster.clone();
        if change(&mut kept) {
            if let Err(fault) =
                text(&kept.roster).and_then(|text| write_private(&self.place, &text))
            {
                kept.roster = before;
                return Err(fault);
            }
            self.changes.send_replace(kept.roster.revision());
        }
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(roster: &Roster) -> io::Result<Vec<u8>> {
    serde_json::to_vec(roster).map_err(io::Error::other)
}

/// HMAC-SHA-256 of the epoch's secret over who speaks to whom: whoever has one such key learns
/// nothing of another.
fn derive(epoch: &Epoch, Speech { from, to }: Speech) -> CableKey {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &epoch.secret);
    let mut said = b"mallee overlay cable".to_vec();
    said.extend(epoch.number.to_be_bytes());
    said.extend(from.0.to_be_bytes());
    said.extend(to.0.to_be_bytes());
    let tag = hmac::sign(&key, &said);
    CableKey(tag.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> SwitchCard {
        SwitchCard { name: name.to_owned(), endpoints: vec!["192.0.2.1:8777".parse().unwrap()] }
    }

    #[test]
    fn numbers_and_keys_are_the_same_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("overlay");
        let ambient = Ambient::system();
        let keeper = Keeper::open(&place, &ambient).unwrap();
        keeper.take(&[card("cloud"), card("east")]).unwrap();
        let told = keeper.charter("cloud", 0).unwrap();
        assert_eq!(keeper.charter("cloud", told.revision), None);
        assert_eq!(Keeper::open(&place, &ambient).unwrap().charter("cloud", 0), Some(told));
    }

    #[test]
    fn every_direction_pair_and_epoch_has_a_key_of_its_own() {
        use crate::domain::{overlay::SwitchId, time::Timestamp};
        let epoch = |number| Epoch { number, secret: [7; 32], begun_at: Timestamp::EPOCH };
        let mut keys = Vec::new();
        for number in [1, 2] {
            for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3)] {
                let speech = Speech { from: SwitchId(from), to: SwitchId(to) };
                keys.push(derive(&epoch(number), speech).0);
            }
        }
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn who_is_no_member_any_more_leaves_and_everybody_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(&directory.path().join("overlay"), &Ambient::system()).unwrap();
        keeper.take(&[card("cloud"), card("east"), card("east/n1")]).unwrap();
        let changes = keeper.watch();
        let east = Identity::group_manager("c", "east", "east").unwrap();
        keeper.keep_members(&[east], &BTreeSet::from(["cloud".to_owned()])).unwrap();
        assert!(changes.has_changed().unwrap());
        let told = keeper.charter("cloud", 0).unwrap();
        assert_eq!(told.peers.iter().map(|peer| &*peer.name).collect::<Vec<_>>(), ["east"]);
        assert_eq!(keeper.charter("east/n1", 0), None);
    }

    #[test]
    fn a_roster_that_cannot_be_written_is_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("there/overlay");
        fs::create_dir(directory.path().join("there")).unwrap();
        let keeper = Keeper::open(&place, &Ambient::system()).unwrap();
        fs::remove_dir_all(directory.path().join("there")).unwrap();
        assert!(keeper.take(&[card("east")]).is_err());
        assert_eq!(keeper.charter("east", 0), None);
    }
}
