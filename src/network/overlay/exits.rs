//! Where the switch's frames go: to a port, or over a cable in as many datagrams as it takes.

use super::{edges::Edges, outbox::Outbox};
use crate::{
    domain::overlay::SwitchId,
    network::{
        cable::Cables,
        fragments::fragments,
        frame::{Frame, Segmented},
        record::{Kind, RecordHeader},
        segments::cut,
        switch::{Outlet, PortId},
    },
};

pub(super) struct Exits {
    pub cables: Cables,
    pub outbox: Outbox,
    pub edges: Edges,
    /// Frames for a cable that is down or too narrow.
    pub unsendable: u64,
}

impl Outlet for Exits {
    fn port(&mut self, port: PortId, frame: Frame<'_>) {
        self.edges.write(port, frame);
    }

    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>) {
        let header = RecordHeader { checksum: frame.offload.checksum, ..header };
        let room = self.cables.room(neighbour);
        let is_sent = match frame.offload.segmentation {
            Some(segmentation) => {
                let is_ipv6 = segmentation.protocol == Segmented::Tcp6;
                let header = RecordHeader { kind: Kind::Piece, is_ipv6, ..header };
                self.send_pieces(neighbour, header, frame, room)
            }
            None if frame.bytes.len() <= room => self.seal(neighbour, &header, &[frame.bytes]),
            None if header.kind == Kind::Frame => {
                self.send_fragments(neighbour, header, frame.bytes, room)
            }
            None => false,
        };
        self.unsendable += u64::from(!is_sent);
    }
}

impl Exits {
    /// Sends what the cables have to say themselves.
    pub fn send_cables_own(&mut self) {
        while let Some((to, datagram)) = self.cables.next_datagram() {
            let added: Result<(), std::convert::Infallible> = self.outbox.add(|into| {
                into.extend_from_slice(&datagram);
                Ok(to)
            });
            let Ok(()) = added;
        }
    }

    fn send_pieces(
        &mut self,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: Frame<'_>,
        room: usize,
    ) -> bool {
        let Ok(pieces) = cut(frame, room) else { return false };
        for piece in pieces {
            let header = RecordHeader { index: piece.index, is_last: piece.is_last, ..header };
            if !self.seal(neighbour, &header, &[piece.headers(), piece.payload]) {
                return false;
            }
        }
        true
    }

    fn send_fragments(
        &mut self,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: &[u8],
        room: usize,
    ) -> bool {
        let Some(parts) = fragments(header, frame, room) else { return false };
        for (header, part) in parts {
            if !self.seal(neighbour, &header, &[part]) {
                return false;
            }
        }
        true
    }

    fn seal(&mut self, neighbour: SwitchId, header: &RecordHeader, payload: &[&[u8]]) -> bool {
        let Exits { cables, outbox, .. } = self;
        outbox.add(|into| cables.seal(neighbour, header, payload, into)).is_ok()
    }
}
