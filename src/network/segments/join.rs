//! Successive pieces made one large segment again, so that the last port is written to once.

use super::{Malformed, headers::TcpHeaders};
use crate::network::{
    frame::{Frame, LARGEST, Offload, Segmentation, Segmented},
    record::{Kind, RecordHeader},
};

/// The segment being joined, if any. One for each neighbour: it sends a segment's pieces one after
/// the other, and what a network between exchanges is delivered in more than one part.
#[derive(Debug, Default)]
pub struct Join {
    bytes: Vec<u8>,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    header: RecordHeader,
    place: TcpHeaders,
    /// The payload of every piece but the last.
    size: usize,
    next_index: u16,
    next_sequence: u32,
    is_whole: bool,
}

impl Join {
    /// Adds the piece if it continues what was begun.
    pub fn extend(&mut self, header: &RecordHeader, piece: &[u8]) -> bool {
        let Some(begun) = &mut self.begun else { return false };
        if begun.is_whole || !begun.is_next(header) || begun.place.length > piece.len() {
            return false;
        }
        let (headers, payload) = piece.split_at(begun.place.length);
        let fits = TcpHeaders::find(piece) == Some(begun.place)
            && begun.place.sequence(headers) == begun.next_sequence
            && begun.place.same_stream(&self.bytes, headers)
            && (1..=begun.size).contains(&payload.len())
            && self.bytes.len() + payload.len() <= LARGEST - 4;
        if !fits {
            return false;
        }
        self.bytes.extend_from_slice(payload);
        begun.place.add_flags(&mut self.bytes, headers);
        begun.next_index += 1;
        begun.next_sequence = begun.next_sequence.wrapping_add(payload.len() as u32);
        begun.is_whole =
            header.is_last || payload.len() < begun.size || !begun.place.goes_on(headers);
        true
    }

    /// Begins anew with a piece; what was joined before must have been taken.
    pub fn begin(&mut self, header: &RecordHeader, piece: &[u8]) -> Result<(), Malformed> {
        let place = TcpHeaders::find(piece).ok_or(Malformed)?;
        if header.checksum != Some(place.checksum()) {
            return Err(Malformed);
        }
        let size = piece.len() - place.length;
        let next_sequence = place.sequence(piece).wrapping_add(size as u32);
        self.bytes.clear();
        self.bytes.extend_from_slice(piece);
        self.begun = Some(Begun {
            header: *header,
            place,
            size,
            next_index: header.index.wrapping_add(1),
            next_sequence,
            is_whole: header.is_last || size == 0 || !place.goes_on(piece),
        });
        Ok(())
    }

    /// Whether no further piece can belong to it.
    pub fn is_whole(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.is_whole)
    }

    /// What is joined, as one frame.
    pub fn take(&mut self) -> Option<(RecordHeader, Frame<'_>)> {
        let Begun { header, place, size, .. } = self.begun.take()?;
        let payload = self.bytes.len() - place.length;
        let pseudo = place.pseudo_sum(&self.bytes);
        place.set_lengths(&mut self.bytes[..place.length], pseudo, payload);
        let checksum = Some(place.checksum());
        let segmentation = (payload > size).then_some(Segmentation {
            protocol: if place.is_ipv6 { Segmented::Tcp6 } else { Segmented::Tcp4 },
            size: size as u16,
            headers: place.length as u16,
        });
        let header = RecordHeader {
            kind: Kind::Frame,
            index: 0,
            is_last: true,
            is_ipv6: false,
            checksum,
            ..header
        };
        Some((header, Frame { bytes: &self.bytes, offload: Offload { checksum, segmentation } }))
    }
}

impl Begun {
    fn is_next(&self, header: &RecordHeader) -> bool {
        let expected = RecordHeader {
            index: self.next_index,
            is_last: header.is_last,
            hops: header.hops,
            ..self.header
        };
        *header == expected
    }
}
