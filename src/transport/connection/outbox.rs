//! What waits to be written on a connection, in the order it goes.

use super::super::budget::Held;
use crate::messages::envelope::{Envelope, LinkFault};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};
use tokio::{sync::Notify, time::Instant};

#[derive(Debug)]
pub(super) enum Parcel {
    Question {
        id: u64,
        envelope: Envelope,
        deadline: Instant,
        held: Held,
    },
    Answer {
        id: u64,
        answer: Result<Vec<u8>, LinkFault>,
        held: Held,
    },
    /// The answer to a question there was no room for.
    Declined {
        id: u64,
    },
    Ping(u64),
    Pong(u64),
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    parcels: RefCell<VecDeque<Parcel>>,
    /// The latest only: who hears no pongs does not need them all.
    ping: Cell<Option<u64>>,
    pong: Cell<Option<u64>>,
    declined: Cell<usize>,
    filled: Notify,
}

impl Outbox {
    pub fn put(&self, parcel: Parcel) {
        match parcel {
            Parcel::Ping(number) => self.ping.set(Some(number)),
            Parcel::Pong(number) => self.pong.set(Some(number)),
            parcel => {
                if let Parcel::Declined { .. } = parcel {
                    self.declined.set(self.declined.get() + 1);
                }
                self.parcels.borrow_mut().push_back(parcel);
            }
        }
        self.filled.notify_one();
    }

    /// What goes next: signs of life first, since they are small and waited for.
    pub fn take(&self) -> Option<Parcel> {
        if let Some(number) = self.pong.take() {
            return Some(Parcel::Pong(number));
        }
        if let Some(number) = self.ping.take() {
            return Some(Parcel::Ping(number));
        }
        let parcel = self.parcels.borrow_mut().pop_front();
        if let Some(Parcel::Declined { .. }) = parcel {
            self.declined.set(self.declined.get() - 1);
        }
        parcel
    }

    /// How many of the answers waiting decline.
    pub fn declined(&self) -> usize {
        self.declined.get()
    }

    /// Returns at once if anything was put since the last time.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    pub fn clear(&self) {
        self.ping.set(None);
        self.pong.set(None);
        self.declined.set(0);
        self.parcels.take();
    }
}
