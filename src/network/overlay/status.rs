//! What the overlay tells people about itself.

use super::outbox::Sent;
use crate::{
    domain::{id::InterfaceId, overlay::SwitchId},
    network::{
        cable::{CableStatus, Refusals},
        port::Losses,
        switch::{PortId, SwitchStatus},
    },
};
use serde::Serialize;
use std::net::SocketAddr;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayStatus {
    /// None before the first charter.
    pub own: Option<SwitchId>,
    pub own_name: String,
    pub charter_revision: u64,
    pub switch: SwitchStatus,
    pub cables: Vec<CableStatus>,
    /// Datagrams of nobody's cable among them.
    pub refused: Refusals,
    pub edges: Vec<EdgeStatus>,
    pub underlay: UnderlayStatus,
}

/// What a port is opened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeStatus {
    pub port: PortId,
    pub interface: InterfaceId,
    pub attachment: String,
    /// None: it is open.
    pub why_closed: Option<String>,
    pub losses: Losses,
}

/// The socket of the cables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnderlayStatus {
    pub listen: SocketAddr,
    pub sent_datagrams: u64,
    pub sent_bytes: u64,
    /// Datagrams that the kernel did not take.
    pub undelivered: u64,
    pub received_datagrams: u64,
    pub received_bytes: u64,
    /// Frames for a cable that was down or too narrow.
    pub unsendable: u64,
    /// Frames of which not all parts came.
    pub incomplete: u64,
    /// Records that opened, and held no frame.
    pub malformed: u64,
}

impl UnderlayStatus {
    pub(super) fn of(listen: SocketAddr, sent: Sent) -> UnderlayStatus {
        UnderlayStatus {
            listen,
            sent_datagrams: sent.datagrams,
            sent_bytes: sent.bytes,
            undelivered: sent.undelivered,
            received_datagrams: 0,
            received_bytes: 0,
            unsendable: 0,
            incomplete: 0,
            malformed: 0,
        }
    }
}
