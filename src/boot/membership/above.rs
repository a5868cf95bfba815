//! What a group's manager asks of the cloud about its nodes: in the same process, or over its link.

use super::{
    super::images::{
        local::LocalImages,
        relay::{Relay, RelayedImages},
    },
    desk::{CertificateDesk, Revoked, decide},
    registry::Registry,
    uplink::own_context,
};
use crate::{
    actors::address::{Address, AskError},
    blobs::repository::Blobs,
    messages::envelope::Outbound,
    transport::{
        bulk::Provide,
        identity::{Identity, Peer},
        join::Register,
        ledger::Refused,
        listener::{Listener, Readmit},
        registrar::Application,
    },
};
use actix::{Addr, Recipient};
use std::{rc::Rc, sync::Arc};

#[derive(Clone)]
pub enum Above {
    Here { registry: Arc<Registry>, blobs: Arc<Blobs> },
    There { own: Identity, link: Recipient<Outbound>, revoked: Arc<Revoked>, relay: Arc<Relay> },
}

impl Above {
    pub fn is_revoked(&self, peer: &Peer) -> bool {
        match self {
            Above::Here { registry, .. } => registry.is_revoked(peer),
            Above::There { revoked, .. } => revoked.has(peer),
        }
    }

    pub fn register(&self) -> Register {
        let above = self.clone();
        Rc::new(move |application: Application| match &above {
            Above::Here { registry, .. } => Box::pin(decide(registry.clone(), application)),
            Above::There { own, link, .. } => {
                let desk = Address::<CertificateDesk>::Remote(link.clone());
                let asked = desk.ask(own_context(own, "certificate"), application);
                Box::pin(async move {
                    asked.await.map_err(|fault| match fault {
                        AskError::Refused(refused) => refused,
                        fault => Refused::Undecided(format!("the cloud: {fault}")),
                    })
                })
            }
        })
    }

    pub fn provide(&self) -> Rc<dyn Provide> {
        match self {
            Above::Here { blobs, .. } => Rc::new(LocalImages(blobs.clone())),
            Above::There { relay, .. } => Rc::new(RelayedImages(relay.clone())),
        }
    }

    /// Cuts those who are revoked, for as long as there is anybody who revokes.
    pub async fn readmit(self, listener: Addr<Listener>) {
        match self {
            Above::Here { registry, .. } => readmit(registry.watch(), &listener).await,
            Above::There { revoked, .. } => readmit(revoked.watch(), &listener).await,
        }
    }
}

pub async fn readmit<T>(mut changes: tokio::sync::watch::Receiver<T>, listener: &Addr<Listener>) {
    while changes.changed().await.is_ok() {
        listener.do_send(Readmit);
    }
}
