//! Keeps this process's switch informed: by the roster beside it, or by its parent.

use super::{
    desk::{Asking, Below, OverlayDesk, ReadOverlay},
    keeper::Keeper,
};
use crate::{
    actors::address::{Address, AskError},
    boot::membership::{registry::Registry, uplink::own_context},
    domain::overlay::{OverlayCharter, SwitchCard},
    messages::envelope::Outbound,
    transport::identity::Identity,
};
use actix::Recipient;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How often a parent is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether keys are due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Told to the switch. Blocks.
pub type Tell = Arc<dyn Fn(OverlayCharter) + Send + Sync>;

/// Beside the roster.
pub struct Beside {
    pub keeper: Arc<Keeper>,
    pub registry: Arc<Registry>,
    pub own: SwitchCard,
    pub tell: Tell,
}

impl Beside {
    pub async fn go_on(self) {
        let Beside { keeper, registry, own, tell } = self;
        let mut changes = keeper.watch();
        let mut members = registry.watch();
        let here = BTreeSet::from([own.name.clone()]);
        let mut known = 0;
        loop {
            changes.mark_unchanged();
            let (keeper, registry) = (keeper.clone(), registry.clone());
            let (own, here, tell) = (own.clone(), here.clone(), tell.clone());
            let work = move || {
                let members = registry.members();
                let kept = keeper
                    .take(std::slice::from_ref(&own))
                    .and_then(|()| keeper.keep_members(&members, &here))
                    .and_then(|()| keeper.turn());
                if let Err(fault) = kept {
                    log::error!("the overlay's roster cannot be written: {fault}");
                }
                let charter = keeper.charter(&own.name, known)?;
                let revision = charter.revision;
                tell(charter);
                Some(revision)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(news) => known = news.unwrap_or(known),
                Err(ended) => log::error!("the overlay's roster cannot be followed: {ended}"),
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = members.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// Below a parent in another process.
pub struct Child {
    pub identity: Identity,
    pub parent: Recipient<Outbound>,
    pub own: SwitchCard,
    pub tell: Tell,
    /// A group's, whom its nodes ask.
    pub below: Option<Arc<Below>>,
}

impl Child {
    pub async fn go_on(self) {
        let Child { identity, parent, own, tell, below } = self;
        let desk = Address::<OverlayDesk>::Remote(parent);
        let mut known = 0;
        loop {
            let mut switches = vec![Asking { card: own.clone(), known }];
            switches.extend(below.iter().flat_map(|below| below.asking()));
            match desk.ask(own_context(&identity, "overlay"), ReadOverlay { switches }).await {
                Ok(mut told) => {
                    if let Some(charter) = told.charters.remove(&own.name) {
                        known = charter.revision;
                        let tell = tell.clone();
                        if let Err(ended) = tokio::task::spawn_blocking(move || tell(charter)).await
                        {
                            log::error!("the switch cannot be told its charter: {ended}");
                        }
                    }
                    if let Some(below) = &below {
                        below.tell(told.charters);
                    }
                }
                // Asked again in a moment; the switch goes on with what it knows.
                Err(AskError::NotDelivered | AskError::Unanswered) => {}
                Err(fault) => log::warn!("the overlay's roster cannot be read: {fault}"),
            }
            let asleep = tokio::time::sleep(ASK_EVERY);
            match &below {
                None => asleep.await,
                Some(below) => tokio::select! {
                    () = asleep => {}
                    () = below.news.notified() => {}
                },
            }
        }
    }
}
