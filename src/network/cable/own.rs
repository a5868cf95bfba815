//! What all cables of a switch share: who it is, chance, and what is to be sent and told.

use super::{CableEvent, CableOptions, Incarnation, sealing::Salt};
use crate::domain::{chance::Chance, overlay::SwitchId};
use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

/// More datagrams are not kept for whoever sends them.
const MOST_OUTGOING: usize = 16_384;

#[derive(Debug)]
pub(super) struct Own {
    pub switch: SwitchId,
    pub options: CableOptions,
    pub sizes: Arc<[u16]>,
    pub events: VecDeque<CableEvent>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    incarnation: Incarnation,
    chance: Box<dyn Chance>,
}

impl Own {
    pub fn new(incarnation: Incarnation, chance: Box<dyn Chance>, options: CableOptions) -> Own {
        let sizes = options.sizes.clone().into();
        Own {
            switch: SwitchId::default(),
            options,
            sizes,
            events: VecDeque::new(),
            outgoing: VecDeque::new(),
            incarnation,
            chance,
        }
    }

    pub fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.outgoing.len() < MOST_OUTGOING {
            self.outgoing.push_back((to, datagram));
        }
    }

    pub fn next_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// A salt that no session ever had.
    pub fn salt(&mut self) -> Salt {
        let mut chance = [0; 8];
        self.chance.fill(&mut chance);
        Salt::new(self.incarnation.number(), chance)
    }

    /// Any number.
    pub fn any(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.chance.fill(&mut bytes);
        u32::from_be_bytes(bytes)
    }
}
