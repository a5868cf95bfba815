//! What cables carried, made frames again: pieces are joined to the segment they were cut from, and
//! fragments put together.

use crate::{
    domain::overlay::SwitchId,
    network::{
        cable::Moment,
        fragments::Assembly,
        frame::{Frame, Offload},
        record::{Kind, RecordHeader},
        segments::{Join, is_transports},
    },
};

#[derive(Default)]
pub(super) struct Reassembly {
    joins: Joins,
    assembly: Assembly,
    /// Records that held no frame.
    pub malformed: u64,
}

/// Segments being joined, by the neighbour that sends their pieces. Few neighbours send at once.
#[derive(Default)]
struct Joins(Vec<(SwitchId, Join)>);

impl Reassembly {
    /// Hands on the frames that a record completes, in the order they were sent.
    pub fn take(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        (header, payload): (RecordHeader, &[u8]),
        mut deliver: impl FnMut(RecordHeader, Frame<'_>),
    ) {
        let Reassembly { joins, assembly, malformed } = self;
        let join = joins.of(neighbour);
        if header.kind == Kind::Piece && join.extend(&header, payload) {
            if join.is_whole()
                && let Some((header, frame)) = join.take()
            {
                deliver(header, frame);
            }
            return;
        }
        // What came before goes before.
        if let Some((header, frame)) = join.take() {
            deliver(header, frame);
        }
        let whole;
        let complete = match header.kind {
            Kind::Piece => {
                *malformed += u64::from(join.begin(&header, payload).is_err());
                return;
            }
            Kind::Fragment => {
                let Some(added) = assembly.add(now, neighbour, &header, payload) else { return };
                whole = added;
                (whole.0, &whole.1[..])
            }
            Kind::Frame | Kind::Routing => (header, payload),
            Kind::Cable => return,
        };
        match frame_of(complete) {
            Some(frame) => deliver(complete.0, frame),
            None => *malformed += 1,
        }
    }

    /// Hands on what no further piece has come for.
    pub fn give_up_joining(&mut self, mut deliver: impl FnMut(SwitchId, RecordHeader, Frame<'_>)) {
        for (neighbour, join) in &mut self.joins.0 {
            if let Some((header, frame)) = join.take() {
                deliver(*neighbour, header, frame);
            }
        }
    }

    pub fn tick(&mut self, now: Moment) {
        self.assembly.tick(now);
    }

    /// Frames of which not all parts came.
    pub fn incomplete(&self) -> u64 {
        self.assembly.dropped
    }
}

/// What a record carries. None if its checksum would be made where no checksum belongs.
fn frame_of((header, bytes): (RecordHeader, &[u8])) -> Option<Frame<'_>> {
    if header.checksum.is_some_and(|place| !is_transports(bytes, place)) {
        return None;
    }
    Some(Frame { bytes, offload: Offload { checksum: header.checksum, segmentation: None } })
}

impl Joins {
    fn of(&mut self, neighbour: SwitchId) -> &mut Join {
        let place = self.0.iter().position(|(known, _)| *known == neighbour);
        let place = place.unwrap_or_else(|| {
            self.0.push((neighbour, Join::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}
