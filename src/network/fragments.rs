//! Frames too long for a cable: sent in parts, and put together at its other end.
//!
//! For packets that cannot be cut as TCP can. Guests are told an MTU that fits, so this is for those
//! that do not listen. Parts may come in any order and each once (the cable opens no datagram
//! twice); what is not whole in time, or more than there is room for, is dropped and counted.

use super::{
    frame::LARGEST,
    record::{Kind, RecordHeader},
};
use crate::domain::overlay::{NetworkId, SwitchId};
use std::{collections::BTreeMap, time::Duration};

type Moment = Duration;

/// How long a frame's parts may take to come.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames being put together at once, of all neighbours.
const FRAMES_MAX: usize = 64;
const UNIT: usize = 8;
/// Less is a frame being made into more parts than it could have.
const SMALLEST: usize = 64;

/// Cuts a frame into parts of at most `room` bytes, each with its record's header. None if there is
/// no room to speak of.
pub fn fragments<'a>(
    header: RecordHeader,
    frame: &'a [u8],
    room: usize,
) -> Option<impl Iterator<Item = (RecordHeader, &'a [u8])>> {
    let size = room / UNIT * UNIT;
    if size < SMALLEST || frame.is_empty() || frame.len() > LARGEST {
        return None;
    }
    let count = frame.len().div_ceil(size);
    Some(frame.chunks(size).enumerate().map(move |(number, part)| {
        let index = (number * (size / UNIT)) as u16;
        let is_last = number + 1 == count;
        (RecordHeader { kind: Kind::Fragment, index, is_last, ..header }, part)
    }))
}

/// Frames being put together.
#[derive(Debug, Default)]
pub struct Assembly {
    frames: BTreeMap<Key, Partial>,
    /// Frames given up.
    pub dropped: u64,
}

/// A source numbers its frames; by which neighbour they come may change.
type Key = (SwitchId, SwitchId, NetworkId, u32);

#[derive(Debug)]
struct Partial {
    header: RecordHeader,
    since: Moment,
    bytes: Vec<u8>,
    /// What is there, in order and apart.
    parts: BTreeMap<usize, usize>,
    length: Option<usize>,
}

impl Assembly {
    /// Takes a part, and gives out the frame that it makes whole.
    pub fn add(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        header: &RecordHeader,
        part: &[u8],
    ) -> Option<(RecordHeader, Vec<u8>)> {
        let network = header.network?;
        let key = (neighbour, header.source, network, header.sequence);
        if !self.frames.contains_key(&key) {
            self.make_room(now);
            let partial = Partial {
                header: RecordHeader { kind: Kind::Frame, index: 0, is_last: true, ..*header },
                since: now,
                bytes: Vec::new(),
                parts: BTreeMap::new(),
                length: None,
            };
            self.frames.insert(key, partial);
        }
        let partial = self.frames.get_mut(&key)?;
        if partial.add(header, part).is_none() {
            self.frames.remove(&key);
            self.dropped += 1;
            return None;
        }
        if !partial.is_whole() {
            return None;
        }
        self.frames.remove(&key).map(|partial| (partial.header, partial.bytes))
    }

    /// Gives up what has waited too long.
    pub fn tick(&mut self, now: Moment) {
        let before = self.frames.len();
        self.frames.retain(|_, partial| now.saturating_sub(partial.since) < PATIENCE);
        self.dropped += (before - self.frames.len()) as u64;
    }

    fn make_room(&mut self, now: Moment) {
        if self.frames.len() < FRAMES_MAX {
            return;
        }
        self.tick(now);
        if self.frames.len() < FRAMES_MAX {
            return;
        }
        let oldest = self.frames.iter().min_by_key(|(_, partial)| partial.since);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.frames.remove(&key);
            self.dropped += 1;
        }
    }
}

impl Partial {
    /// None for a part that cannot be of this frame.
    fn add(&mut self, header: &RecordHeader, part: &[u8]) -> Option<()> {
        let start = usize::from(header.index) * UNIT;
        let end = start + part.len();
        let is_apart = self.parts.range(..end).next_back().is_none_or(|(_, known)| *known <= start);
        let is_within = match (self.length, header.is_last) {
            (Some(_), true) => false,
            (Some(length), false) => end < length,
            (None, true) => end >= self.bytes.len(),
            (None, false) => true,
        };
        let is_sound = !part.is_empty()
            && end <= LARGEST
            && (header.is_last || part.len().is_multiple_of(UNIT))
            && header.checksum == self.header.checksum
            && header.destination == self.header.destination;
        if !(is_apart && is_within && is_sound) {
            return None;
        }
        if header.is_last {
            self.length = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(part);
        self.parts.insert(start, end);
        Some(())
    }

    fn is_whole(&self) -> bool {
        let there: usize = self.parts.iter().map(|(start, end)| end - start).sum();
        self.length == Some(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::frame::PartialChecksum;
    use proptest::prelude::*;

    const NEIGHBOUR: SwitchId = SwitchId(9);

    fn header(sequence: u32) -> RecordHeader {
        RecordHeader {
            kind: Kind::Frame,
            network: NetworkId::new(7),
            hops: 3,
            is_last: true,
            is_ipv6: false,
            index: 0,
            destination: SwitchId(2),
            source: SwitchId(1),
            sequence,
            checksum: Some(PartialChecksum { start: 34, offset: 6 }),
        }
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_frame(
            frame in prop::collection::vec(any::<u8>(), 1..9000),
            room in 64usize..2000,
            order in any::<prop::sample::Index>(),
        ) {
            let mut parts: Vec<_> = fragments(header(5), &frame, room).unwrap().collect();
            prop_assert!(parts.iter().all(|(_, part)| part.len() <= room));
            let turn = order.index(parts.len());
            parts.rotate_left(turn);
            let mut assembly = Assembly::default();
            let (last, others) = parts.split_last().unwrap();
            for (header, part) in others {
                prop_assert!(assembly.add(Duration::ZERO, NEIGHBOUR, header, part).is_none());
            }
            let whole = assembly.add(Duration::ZERO, NEIGHBOUR, &last.0, last.1);
            prop_assert_eq!(whole, Some((header(5), frame)));
            prop_assert!(assembly.frames.is_empty());
        }

        #[test]
        fn arbitrary_parts_never_panic_and_take_bounded_room(
            parts in prop::collection::vec(
                (any::<u16>(), any::<bool>(), 0u32..200, prop::collection::vec(any::<u8>(), 0..40)),
                0..300,
            ),
        ) {
            let mut assembly = Assembly::default();
            for (index, is_last, sequence, part) in parts {
                let header = RecordHeader { kind: Kind::Fragment, index, is_last, ..header(sequence) };
                assembly.add(Duration::ZERO, NEIGHBOUR, &header, &part);
                prop_assert!(assembly.frames.len() <= FRAMES_MAX);
                prop_assert!(assembly.frames.values().all(|frame| frame.bytes.len() <= LARGEST));
            }
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_in_time_is_dropped_and_counted() {
        let frame = [1; 300];
        let parts: Vec<_> = fragments(header(1), &frame, 128).unwrap().collect();
        let mut assembly = Assembly::default();
        assert!(assembly.add(Duration::ZERO, NEIGHBOUR, &parts[0].0, parts[0].1).is_none());
        assembly.tick(PATIENCE);
        assert_eq!(assembly.dropped, 1);
        for (header, part) in &parts[1..] {
            assert!(assembly.add(PATIENCE, NEIGHBOUR, header, part).is_none());
        }
    }

    #[test]
    fn parts_that_overlap_are_of_no_frame() {
        let frame = [1; 300];
        let parts: Vec<_> = fragments(header(1), &frame, 128).unwrap().collect();
        let mut assembly = Assembly::default();
        assembly.add(Duration::ZERO, NEIGHBOUR, &parts[0].0, parts[0].1);
        assert!(assembly.add(Duration::ZERO, NEIGHBOUR, &parts[0].0, parts[0].1).is_none());
        assert_eq!((assembly.dropped, assembly.frames.len()), (1, 0));
    }

    #[test]
    fn without_room_nothing_is_cut() {
        assert!(fragments(header(1), &[1; 300], SMALLEST - 1).is_none());
    }
}
