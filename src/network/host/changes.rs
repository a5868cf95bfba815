//! What of our tables changes while they are in force, and whose turn it is to change it.
//!
//! A rule of a group with many guests changes many ports at one moment, each asked for by itself,
//! and a run of `nft` costs much the same for fifty changes as for one. So changes wait in a queue,
//! and whoever's turn comes takes all there are along, in one script and in their order.

use super::{
    nft::{self, Nft},
    permits::{self, Judged},
    translation::Translations,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, io, mem,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

/// What the kernel has, as far as we know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InForce {
    /// The filter of each address.
    pub ports: HashMap<Ipv4Addr, String>,
    /// The filters, each with the sets of members it speaks of.
    pub filters: BTreeMap<String, BTreeSet<String>>,
    /// Who is in each set of members.
    pub members: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    pub translations: Translations,
}

#[derive(Debug)]
pub(super) struct Changes {
    table: String,
    nft: Arc<Nft>,
    in_force: Mutex<InForce>,
    waiting: Mutex<Vec<Waiting>>,
}

/// A change that has its place in the queue, and is made when it is waited for.
#[must_use]
#[derive(Debug)]
pub(super) struct Pending(mpsc::Receiver<io::Result<()>>);

/// Alters the state, and says by which commands.
pub(super) type Change = Box<dyn Fn(&mut InForce) -> String + Send>;

struct Waiting {
    change: Change,
    outcome: mpsc::Sender<io::Result<()>>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

impl Changes {
    pub fn new(table: &str, nft: Arc<Nft>) -> Changes {
        let table = table.to_owned();
        Changes { table, nft, in_force: Mutex::default(), waiting: Mutex::default() }
    }

    pub fn queue(&self, change: Change) -> Pending {
        let (outcome, told) = mpsc::channel();
        self.waiting().push(Waiting { change, outcome });
        Pending(told)
    }

    /// Returns when the change is in force, or what kept it from being.
    pub fn settle(&self, pending: Pending) -> io::Result<()> {
        let mut in_force = self.in_force();
        if let Ok(outcome) = pending.0.try_recv() {
            return outcome; // Whoever was before us took it along.
        }
        let waiting = mem::take(&mut *self.waiting());
        self.apply(&mut in_force, waiting);
        let lost = |_| Err(io::Error::other("the change was lost"));
        pending.0.try_recv().unwrap_or_else(lost)
    }

    /// Looks at what there is.
    pub fn read(&self) -> io::Result<()> {
        *self.in_force() = InForce::read(&self.table)?;
        Ok(())
    }

    /// Starts over from tables in which a script leaves nobody, in the same moment: with members and
    /// translations as they were, and with these changes.
    pub fn start_over(&self, empty: &str, changes: &[Change]) -> io::Result<()> {
        let mut in_force = self.in_force();
        let InForce { members, translations, .. } = in_force.clone();
        let mut anew = InForce { members, translations, ..InForce::default() };
        let changes = changes.iter().map(|change| change(&mut anew));
        let script = changes.fold(empty.to_owned(), |script, change| script + &change);
        self.nft.apply(&script)?;
        *in_force = anew;
        Ok(())
    }

    /// What we know to be in force.
    pub fn look<T>(&self, look: impl FnOnce(&InForce) -> T) -> T {
        look(&self.in_force())
    }

    /// When the tables are gone.
    pub fn clear(&self) {
        *self.in_force() = InForce::default();
    }

    fn apply(&self, in_force: &mut InForce, waiting: Vec<Waiting>) {
        let Err(error) = self.try_to_apply(in_force, &waiting) else {
            return waiting.into_iter().for_each(|one| one.tell(Ok(())));
        };
        // One of them, or the kernel is not as we thought: then we look, and each tries by itself.
        let found = InForce::read(&self.table);
        let is_as_thought = found.as_ref().is_ok_and(|found| found == in_force);
        if waiting.len() == 1 && is_as_thought {
            return waiting.into_iter().for_each(|one| one.tell(Err(copy_of(&error))));
        }
        match found {
            Ok(found) => *in_force = found,
            Err(error) => {
                return waiting.into_iter().for_each(|one| one.tell(Err(copy_of(&error))));
            }
        }
        for one in waiting {
            let outcome = self.try_to_apply(in_force, std::slice::from_ref(&one));
            one.tell(outcome);
        }
    }

    fn try_to_apply(&self, in_force: &mut InForce, waiting: &[Waiting]) -> io::Result<()> {
        let mut changed = in_force.clone();
        let commands = waiting.iter().map(|one| (one.change)(&mut changed));
        let script = commands.collect::<String>() + &changed.forget_unused(&self.table);
        self.nft.apply(&script)?;
        *in_force = changed;
        Ok(())
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        // It is replaced as a whole, after the kernel has agreed.
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn tell(self, outcome: io::Result<()>) {
        // Who no longer waits need not know.
        let _ = self.outcome.send(outcome);
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

impl InForce {
    fn read(table: &str) -> io::Result<InForce> {
        let mut found = InForce::default();
        for object in nft::list(&["table", "ip", table])? {
            found.translations.read(&object);
            let chain = object["chain"]["name"].as_str().or(object["rule"]["chain"].as_str());
            if let Some(filter) = chain.and_then(permits::filter_of) {
                let sets = found.filters.entry(filter.to_owned()).or_default();
                permits::sets_in(&object["rule"]["expr"], sets);
            }
            let set = &object["set"];
            if let Some(name) = set["name"].as_str().filter(|name| permits::is_members_set(name)) {
                let elements = set["elem"].as_array().into_iter().flatten();
                let addresses = elements.filter_map(|element| element.as_str()?.parse().ok());
                found.members.insert(name.to_owned(), addresses.collect());
            }
            if object["map"]["name"] == Judged::Incoming.map() {
                let elements = object["map"]["elem"].as_array().into_iter().flatten();
                found.ports.extend(elements.filter_map(|element| {
                    let address = element[0].as_str()?.parse().ok()?;
                    let chain = element[1]["goto"]["target"].as_str()?;
                    Some((address, permits::filter_of(chain)?.to_owned()))
                }));
            }
        }
        Ok(found)
    }

    /// What takes the chains of filters away that no port has, and then the sets of nobody that no
    /// filter speaks of.
    fn forget_unused(&mut self, table: &str) -> String {
        let mut script = String::new();
        let used: BTreeSet<&String> = self.ports.values().collect();
        self.filters.retain(|name, _| {
            let is_used = used.contains(name);
            if !is_used {
                script += &permits::no_rules(table, name);
            }
            is_used
        });
        self.members.retain(|set, members| {
            let is_used = !members.is_empty() || self.filters.values().any(|of| of.contains(set));
            if !is_used {
                script += &format!("delete set ip {table} {set}\n");
            }
            is_used
        });
        script
    }
}
