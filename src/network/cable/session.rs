//! A session: a salt of each end's, and the keys that the two make.
//!
//! Each salt of ours makes one session and no more, so whoever names it in a sealed hello proves to
//! be there now.

use super::{
    Moment,
    datagram::{HelloBody, HelloClear, Kind, OUTER, Outer, Stage},
    sealing::{Direction, Key, Salt, TAG},
    window::Window,
};
use crate::network::record::HEADER;

/// Our half: what can be said before the other's salt is known.
#[derive(Debug)]
pub(super) struct Half {
    pub salt: Salt,
    /// What the other writes into headers of this session.
    pub index: u32,
    /// Hellos sealed with this salt.
    hellos: u64,
}

impl Half {
    pub fn new(salt: Salt, index: u32) -> Half {
        Half { salt, index, hellos: 0 }
    }

    /// A hello of this half's, sealed.
    pub fn hello(
        &mut self,
        direction: Direction<'_>,
        stage: Stage,
        renews: bool,
        echo: Salt,
    ) -> Vec<u8> {
        let body = HelloBody { stage, renews, index: self.index, echo };
        let Direction { sender, receiver, epoch, salt, .. } = direction;
        let clear = HelloClear { sender, receiver, epoch, salt }.write(self.hellos);
        let mut datagram = clear.to_vec();
        datagram.extend_from_slice(&body.write());
        direction.hello_key().seal(self.hellos, &mut datagram, 0, clear.len());
        self.hellos += 1;
        datagram
    }
}

/// The other's half.
#[derive(Debug, Clone)]
pub(super) struct TheirHalf {
    pub salt: Salt,
    /// What we write into headers of this session.
    pub index: u32,
    /// Which of its hellos came.
    pub hellos: Window<2>,
}

/// A session that both halves are known of.
#[derive(Debug)]
pub(super) struct Session {
    pub epoch: u32,
    pub ours: Half,
    pub theirs: TheirHalf,
    pub since: Moment,
    sealing: Key,
    sealed: u64,
    opening: Key,
    window: Window<64>,
    opened: u64,
}

/// Why a record did not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    Replayed,
    Altered,
}

impl Session {
    /// `sending` and `receiving` are the two directions, each with its sender's salt.
    pub fn new(
        now: Moment,
        sending: Direction<'_>,
        receiving: Direction<'_>,
        ours: Half,
        theirs: TheirHalf,
    ) -> Session {
        Session {
            epoch: sending.epoch,
            since: now,
            sealing: sending.record_key(&theirs.salt),
            sealed: 0,
            opening: receiving.record_key(&ours.salt),
            window: Window::new(),
            opened: 0,
            ours,
            theirs,
        }
    }

    /// Appends a datagram with this record. `padded` is the least length of the datagram.
    pub fn seal(
        &mut self,
        header: &[u8; HEADER],
        payload: &[&[u8]],
        padded: usize,
        into: &mut Vec<u8>,
    ) {
        let start = into.len();
        let outer = Outer { kind: Kind::Record, index: self.theirs.index, counter: self.sealed };
        into.extend_from_slice(&outer.write());
        into.extend_from_slice(header);
        for part in payload {
            into.extend_from_slice(part);
        }
        let unpadded = into.len();
        into.resize(unpadded.max(start + padded.saturating_sub(TAG)), 0);
        self.sealing.seal(self.sealed, into, start, OUTER);
        self.sealed += 1;
    }

    /// The record in a datagram, once; and whether no later one came before it.
    pub fn open<'d>(
        &mut self,
        counter: u64,
        datagram: &'d mut [u8],
    ) -> Result<(&'d mut [u8], bool), NotOpened> {
        if !self.window.admits(counter) {
            return Err(NotOpened::Replayed);
        }
        let record = self.opening.open(counter, datagram, OUTER).ok_or(NotOpened::Altered)?;
        let is_newest = counter >= self.window.next();
        self.window.mark(counter);
        self.opened += 1;
        Ok((record, is_newest))
    }

    pub fn sealed(&self) -> u64 {
        self.sealed
    }
    pub fn opened(&self) -> u64 {
        self.opened
    }
    pub fn window(&self) -> &Window<64> {
        &self.window
    }
}
