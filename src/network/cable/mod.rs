//! Cables: what joins two switches. Sealed UDP datagrams, and everything that keeps them flowing.

mod incarnation;
mod status;

pub use incarnation::{Incarnation, IncarnationFault};
pub use status::{CableEvent, CableStatus, Refusal, Refusals, WhyDown};

use crate::domain::{
    chance::Chance,
    overlay::{OverlayCharter, SwitchId},
};
use crate::network::record::RecordHeader;
use std::{net::SocketAddr, time::Duration};

pub type Moment = Duration;

#[derive(Debug, Clone)]
pub struct CableOptions {
    /// A session is renewed after so long,
    pub renew_after: Duration,
    /// or after so many datagrams in one direction.
    pub renew_after_datagrams: u64,
    /// No session seals more datagrams than this.
    pub most_datagrams: u64,
    /// The sizes of datagrams that are tried, as UDP's payload, ascending. The first is taken for
    /// granted.
    pub sizes: Vec<u16>,
}

#[derive(Debug)]
pub struct Cables;

#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'d> {
    /// For the switch. Take the events first: this may be what brought the cable up.
    Record {
        neighbour: SwitchId,
        header: RecordHeader,
        payload: &'d mut [u8],
    },
    /// Between the cables themselves.
    Handled,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSeal {
    #[error("switch `{0}` is no peer")]
    UnknownPeer(SwitchId),
    #[error("the cable to switch `{0}` is down")]
    Down(SwitchId),
    #[error("a datagram on the cable to switch `{neighbour}` has room for {room} bytes only")]
    TooLarge { neighbour: SwitchId, room: usize },
    #[error("the session with switch `{0}` has sealed all it may")]
    Exhausted(SwitchId),
}

#[allow(unused_variables)]
impl Cables {
    pub fn new(incarnation: Incarnation, chance: Box<dyn Chance>, options: CableOptions) -> Cables {
        todo!()
    }
    /// Older charters than the last are ignored.
    pub fn set_charter(&mut self, now: Moment, charter: &OverlayCharter) {
        todo!()
    }
    pub fn open<'d>(
        &mut self,
        now: Moment,
        from: SocketAddr,
        datagram: &'d mut [u8],
    ) -> Opened<'d> {
        todo!()
    }
    /// Appends one datagram and says where to send it.
    pub fn seal(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        header: &RecordHeader,
        payload: &[&[u8]],
        into: &mut Vec<u8>,
    ) -> Result<SocketAddr, CannotSeal> {
        todo!()
    }
    /// The largest payload after a `RecordHeader` in one datagram; 0 while the cable is down.
    pub fn room(&self, neighbour: SwitchId) -> usize {
        todo!()
    }
    /// The kernel refused to send a datagram of this size (`EMSGSIZE`).
    pub fn too_large(&mut self, now: Moment, to: SocketAddr, size: usize) {
        todo!()
    }
    /// To be called about every 100 ms.
    pub fn tick(&mut self, now: Moment) {
        todo!()
    }
    /// To be taken until None after every other call but `seal`.
    pub fn next_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        todo!()
    }
    /// To be taken until None after every other call but `seal`.
    pub fn next_event(&mut self) -> Option<CableEvent> {
        todo!()
    }
    /// Tells every neighbour that this switch stops, so that they need not find out.
    pub fn close(&mut self, now: Moment) {
        todo!()
    }
    pub fn status(&self) -> Vec<CableStatus> {
        todo!()
    }
    /// Everything refused, also what belongs to no cable.
    pub fn refused(&self) -> &Refusals {
        todo!()
    }
    /// Where others see this switch, most seen first.
    pub fn outside_addresses(&self) -> Vec<SocketAddr> {
        todo!()
    }
}
