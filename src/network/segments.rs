//! Large TCP segments: cut into pieces that fit, joined again, finished for who can do neither.
//!
//! A piece is a whole frame: the headers are a copy, with numbers, lengths and flags as if the
//! sender had made the piece itself, so that a receiver cannot tell. Its TCP checksum stays undone
//! as long as nobody looks at it: a cable carries where it belongs, and the last port, or the kernel
//! behind it, makes it. `Join` is the way back, for pieces that come in order.
//!
//! What is left to be done to a frame comes from outside, so `settle` looks at it before anything
//! relies on it: a checksum is left undone only at the place of TCP's or UDP's. Anywhere else it
//! could overwrite, after the filter, what the filter has seen.
//!
//! Not here: UDP's large datagrams, which no port of ours offers to take.

mod checksum;
mod finish;
mod headers;
mod join;

pub use finish::{Takes, finish};
pub use join::Join;

use super::frame::{Frame, Offload, PartialChecksum, Segmentation, Segmented};
use headers::{TcpHeaders, Transport};

/// What cannot be what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame is not what its offload says")]
pub struct Malformed;

/// Nobody's pieces are smaller (Linux, `TCP_MIN_SND_MSS`): a frame must not become thousands.
const SMALLEST_PIECE: usize = 48;

/// Takes what a guest or a kernel says about a frame for what may be relied on. `bytes` change
/// where a checksum has to be made at once.
pub fn settle(
    bytes: &mut [u8],
    checksum: Option<PartialChecksum>,
    segmented: Option<(Segmented, u16)>,
) -> Result<Offload, Malformed> {
    let Some(place) = checksum else {
        // virtio: a segment is large only together with a checksum that is to be made.
        return if segmented.is_some() { Err(Malformed) } else { Ok(Offload::default()) };
    };
    if let Some((protocol, size)) = segmented {
        let headers = TcpHeaders::find(bytes).ok_or(Malformed)?;
        let is_ipv6 = protocol == Segmented::Tcp6;
        if headers.checksum() != place || headers.is_ipv6 != is_ipv6 {
            return Err(Malformed);
        }
        if bytes.len() - headers.length > usize::from(size) {
            if usize::from(size) < SMALLEST_PIECE {
                return Err(Malformed);
            }
            let headers = headers.length as u16;
            let segmentation = Some(Segmentation { protocol, size, headers });
            return Ok(Offload { checksum, segmentation });
        }
    } else if !is_transports(bytes, place) {
        checksum::complete(bytes, place).ok_or(Malformed)?;
        return Ok(Offload::default());
    }
    Ok(Offload { checksum, segmentation: None })
}

/// Whether a checksum belongs where TCP or UDP have theirs, and the frame goes so far.
pub fn is_transports(bytes: &[u8], place: PartialChecksum) -> bool {
    let end = usize::from(place.start) + usize::from(place.offset) + 2;
    end <= bytes.len()
        && Transport::find(bytes).and_then(|transport| transport.checksum()) == Some(place)
}

/// A piece of a large segment: a frame in two parts.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    headers: [u8; headers::LONGEST],
    length: usize,
    pub payload: &'a [u8],
    pub index: u16,
    pub is_last: bool,
    pub checksum: PartialChecksum,
}

impl Piece<'_> {
    pub fn headers(&self) -> &[u8] {
        &self.headers[..self.length]
    }
}

/// Cuts a large segment into pieces of at most `room` bytes, headers and all.
pub fn cut<'a>(frame: Frame<'a>, room: usize) -> Result<Cut<'a>, Malformed> {
    let segmentation = frame.offload.segmentation.ok_or(Malformed)?;
    let place = TcpHeaders::find(frame.bytes).ok_or(Malformed)?;
    let size = usize::from(segmentation.size).min(room.saturating_sub(place.length));
    if size < SMALLEST_PIECE {
        return Err(Malformed);
    }
    let (headers, payload) = frame.bytes.split_at(place.length);
    let mut first = [0; headers::LONGEST];
    first[..headers.len()].copy_from_slice(headers);
    Ok(Cut { place, first, pseudo: place.pseudo_sum(headers), size, rest: payload, index: 0 })
}

/// The pieces of a large segment, in order.
#[derive(Debug)]
pub struct Cut<'a> {
    place: TcpHeaders,
    first: [u8; headers::LONGEST],
    pseudo: u64,
    size: usize,
    rest: &'a [u8],
    index: u16,
}

impl<'a> Iterator for Cut<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (payload, rest) = self.rest.split_at(self.size.min(self.rest.len()));
        let is_last = rest.is_empty();
        let mut piece = Piece {
            headers: self.first,
            length: self.place.length,
            payload,
            index: self.index,
            is_last,
            checksum: self.place.checksum(),
        };
        let headers = &mut piece.headers[..self.place.length];
        self.place.advance(headers, self.index, usize::from(self.index) * self.size);
        self.place.keep_flags(headers, self.index == 0, is_last);
        self.place.set_lengths(headers, self.pseudo, payload.len());
        self.rest = rest;
        self.index += 1;
        Some(piece)
    }
}

#[cfg(test)]
mod tests;
