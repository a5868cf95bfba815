//! Whom a child asks about the overlay: the cloud of its roster, a group of what the cloud told it.

use super::{keeper::Keeper, speaks_for, switch_name};
use crate::{
    actors::{
        address::Call,
        switchboard::{Switchboard, serves},
    },
    boot::membership::registry::Registry,
    domain::overlay::{OverlayCharter, SwitchCard},
    messages::Ask,
    transport::identity::Identity,
};
use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A switch, and the newest charter that it has: 0 for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    pub card: SwitchCard,
    pub known: u64,
}

/// These switches are here: is there anything new for them?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOverlay {
    pub switches: Vec<Asking>,
}

/// Newer charters, by the switch's name. Who asked for more than fit in one answer asks again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Charters {
    pub charters: BTreeMap<String, OverlayCharter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OverlayFault {
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}

impl Ask for ReadOverlay {
    type Reply = Charters;
    type Fault = OverlayFault;
    const NAME: &'static str = "overlay.read";
}

/// How many peers are told of in one answer, over all its charters: some 4 MiB of keys.
const PEERS_AN_ANSWER: usize = 16 << 10;

/// What a group's process knows of its nodes' switches.
#[derive(Debug, Default)]
pub struct Below {
    switches: Mutex<BTreeMap<String, Known>>,
    /// A node was heard for the first time, or somewhere else.
    pub news: Notify,
}

#[derive(Debug)]
struct Known {
    card: SwitchCard,
    charter: Option<OverlayCharter>,
}

impl Below {
    fn switches(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Every change is one insertion, so a panic elsewhere leaves no half of one.
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a group asks of the cloud for its nodes.
    pub fn asking(&self) -> Vec<Asking> {
        let known = |known: &Known| Asking {
            card: known.card.clone(),
            known: known.charter.as_ref().map_or(0, |charter| charter.revision),
        };
        self.switches().values().map(known).collect()
    }

    /// What the cloud said to that.
    pub fn tell(&self, charters: BTreeMap<String, OverlayCharter>) {
        let mut switches = self.switches();
        for (name, charter) in charters {
            if let Some(known) = switches.get_mut(&name) {
                known.charter = Some(charter);
            }
        }
    }

    fn answer(&self, asking: &Asking) -> Option<OverlayCharter> {
        let mut switches = self.switches();
        let Asking { card, known } = asking;
        match switches.get_mut(&card.name) {
            Some(before) if before.card == *card => {
                before.charter.clone().filter(|charter| charter.revision != *known)
            }
            Some(before) => {
                before.card = card.clone();
                self.news.notify_one();
                None
            }
            None => {
                let news = Known { card: card.clone(), charter: None };
                switches.insert(card.name.clone(), news);
                self.news.notify_one();
                None
            }
        }
    }
}

/// Answers a parent's children.
#[derive(Debug, Clone)]
pub enum OverlayDesk {
    Cloud { keeper: Arc<Keeper>, registry: Arc<Registry> },
    Group(Arc<Below>),
}

impl Actor for OverlayDesk {
    type Context = Context<Self>;
}

serves!(OverlayDesk: ReadOverlay);

impl OverlayDesk {
    /// A child asks for what is its own.
    pub fn furnish(desk: &Addr<OverlayDesk>, child: &Identity, board: &mut Switchboard) {
        let child = child.clone();
        board.serve_if(desk.clone(), move |asked: &ReadOverlay| {
            asked.switches.iter().all(|asking| speaks_for(&child, &asking.card.name))
        });
    }
}

impl Handler<Call<ReadOverlay>> for OverlayDesk {
    type Result = ResponseFuture<Result<Charters, OverlayFault>>;

    fn handle(&mut self, call: Call<ReadOverlay>, _: &mut Self::Context) -> Self::Result {
        let asked = call.body.switches;
        match self {
            OverlayDesk::Group(below) => {
                let answer = some(&asked, |asking| below.answer(asking));
                Box::pin(std::future::ready(Ok(answer)))
            }
            OverlayDesk::Cloud { keeper, registry } => {
                let (keeper, registry) = (keeper.clone(), registry.clone());
                let work = move || -> Result<Charters, OverlayFault> {
                    // A group may not have heard yet of one that was expelled.
                    let members: BTreeSet<_> = registry.members().iter().map(switch_name).collect();
                    let cards = asked.iter().map(|asking| asking.card.clone());
                    let cards: Vec<_> = cards.filter(|card| members.contains(&card.name)).collect();
                    let taken = keeper.take(&cards);
                    taken.map_err(|fault| OverlayFault::NotRecorded(fault.to_string()))?;
                    let charter = |asking: &Asking| keeper.charter(&asking.card.name, asking.known);
                    Ok(some(&asked, charter))
                };
                Box::pin(async move {
                    let worked = tokio::task::spawn_blocking(work).await;
                    worked.unwrap_or_else(|ended| Err(OverlayFault::NotRecorded(ended.to_string())))
                })
            }
        }
    }
}

/// As many charters as fit, one at least.
fn some(asked: &[Asking], mut charter: impl FnMut(&Asking) -> Option<OverlayCharter>) -> Charters {
    let mut room = PEERS_AN_ANSWER;
    let mut charters = BTreeMap::new();
    for asking in asked {
        if room == 0 {
            break;
        }
        if let Some(charter) = charter(asking) {
            room = room.saturating_sub(charter.peers.len());
            charters.insert(asking.card.name.clone(), charter);
        }
    }
    Charters { charters }
}
