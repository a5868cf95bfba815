//! What the two ends tell one another while the cable is up, and what follows from it.

use super::{
    Moment, WhyDown,
    handshake::Calling,
    note::Note,
    own::Own,
    peer::{Challenge, OpenedRecord, Peer},
};
use crate::network::record::{Kind, RecordHeader};
use std::{net::SocketAddr, time::Duration};

/// A new address of the peer's is challenged at most this often.
const BETWEEN_CHALLENGES: Duration = Duration::from_millis(100);

impl Peer {
    /// A note came from there.
    pub(super) fn hear(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: SocketAddr,
        note: Note,
    ) -> OpenedRecord<'static> {
        let Some(live) = &mut self.live else { return OpenedRecord::Handled };
        match note {
            Note::Ping(ping) => {
                live.keepalive.hear(now, &ping);
                let pong = live.keepalive.pong(&ping, from);
                self.tell(own, from, &Note::Pong(pong, ping.number));
            }
            Note::Pong(pong, answers) => {
                live.keepalive.hear(now, &pong);
                live.keepalive.answered(now, pong.time);
                let proven = live
                    .challenge
                    .take_if(|challenge| challenge.ping == answers && challenge.address == from);
                if proven.is_some() {
                    live.move_to(now, from);
                    self.addresses.hear(from);
                    self.probe(own, now);
                }
            }
            Note::Probe { size, number } => {
                self.tell(own, from, &Note::ProbeArrived { size, number });
            }
            Note::ProbeArrived { size, number } => {
                live.path.acknowledged(now, size, number);
                self.probe(own, now);
            }
            Note::Ask(switches) => {
                if self.questions.take(now) {
                    return OpenedRecord::Asked(switches);
                }
            }
            Note::Introduction(named) => return OpenedRecord::Introduced(named),
            Note::Farewell => self.go_down(own, WhyDown::Left),
        }
        OpenedRecord::Handled
    }

    /// Another switch hears the peer there.
    pub(super) fn introduce(&mut self, now: Moment, address: SocketAddr) {
        if !self.is_up() && self.addresses.introduce(now, address) {
            // The other end is told at the same time, so that both make their NATs expect the other.
            self.calling = Calling::at(now);
        }
    }

    /// Says a note, if the cable is up.
    pub(super) fn tell(&mut self, own: &mut Own, to: SocketAddr, note: &Note) {
        let padded = match note {
            Note::Probe { size, .. } => usize::from(*size),
            _ => 0,
        };
        let Some(live) = &mut self.live else { return };
        if live.session.sealed() >= own.options.most_datagrams {
            return;
        }
        let header = RecordHeader {
            kind: Kind::Cable,
            network: None,
            hops: 0,
            is_last: false,
            is_ipv6: false,
            index: 0,
            destination: self.switch,
            source: own.switch,
            sequence: 0,
            checksum: None,
        };
        let mut datagram = Vec::new();
        live.session.seal(&header.write(), &[&note.write()], padded, &mut datagram);
        self.sealed.datagrams += 1;
        self.sealed.bytes += datagram.len() as u64;
        own.send(to, datagram);
    }

    /// Says a note to where the peer is.
    pub(super) fn tell_there(&mut self, own: &mut Own, note: &Note) {
        if let Some(address) = self.address() {
            self.tell(own, address, note);
        }
    }

    /// The number of the ping, 0 if the cable is down.
    pub(super) fn ping(&mut self, own: &mut Own, now: Moment, to: SocketAddr) -> u32 {
        let Some(live) = &mut self.live else { return 0 };
        let ping = live.keepalive.ping(now, to);
        self.tell(own, to, &Note::Ping(ping));
        ping.number
    }

    /// Sends the probes that are due.
    pub(super) fn probe(&mut self, own: &mut Own, now: Moment) {
        let Some(live) = &mut self.live else { return };
        let address = live.address;
        let round_trip = live.keepalive.round_trip().unwrap_or_default();
        for (size, number) in live.path.tick(now, round_trip) {
            self.tell(own, address, &Note::Probe { size, number });
        }
    }

    /// Asks whether the peer is where it seems to be.
    pub(super) fn challenge(&mut self, own: &mut Own, now: Moment, address: SocketAddr) {
        let Some(live) = &mut self.live else { return };
        let was_just_challenged = live
            .challenge
            .as_ref()
            .is_some_and(|last| now.saturating_sub(last.at) < BETWEEN_CHALLENGES);
        if !was_just_challenged {
            let ping = self.ping(own, now, address);
            if let Some(live) = &mut self.live {
                live.challenge = Some(Challenge { address, ping, at: now });
            }
        }
    }
}
