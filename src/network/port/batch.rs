//! The frames of one wake-up, in one buffer that all ports are read into in turn.

use super::vnet;
use crate::network::{
    frame::{Frame, LARGEST, Offload},
    segments::Malformed,
};
use std::ops::Range;

/// Room for a frame and the header that a kernel puts before it.
const ROOM: usize = vnet::HEADER + LARGEST;

/// A few large frames, so that they are passed on while the processor still has them at hand.
const BYTES: usize = 4 * ROOM;

/// What one port may say in its turn.
const FRAMES: usize = 64;

pub struct Batch {
    buffer: Box<[u8]>,
    used: usize,
    frames: Vec<(Range<usize>, Offload)>,
}

impl Default for Batch {
    fn default() -> Batch {
        let buffer = vec![0; BYTES].into_boxed_slice();
        Batch { buffer, used: 0, frames: Vec::with_capacity(FRAMES) }
    }
}

impl Batch {
    pub fn clear(&mut self) {
        self.used = 0;
        self.frames.clear();
    }

    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames
            .iter()
            .map(|(range, offload)| Frame { bytes: &self.buffer[range.clone()], offload: *offload })
    }

    /// How many more frames there may be.
    pub(super) fn frames_left(&self) -> usize {
        FRAMES - self.frames.len()
    }

    /// Where to put the next frame. None: the batch is full.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.frames.len() == FRAMES {
            return None;
        }
        self.buffer.get_mut(self.used..self.used + ROOM)
    }

    /// What was put there is a frame.
    pub(super) fn push_whole(&mut self, length: usize) {
        self.push(self.used..self.used + length, Offload::default());
    }

    /// What was put there is a kernel's header and a frame.
    pub(super) fn push_headed(&mut self, length: usize) -> Result<(), Malformed> {
        let (header, rest) = self.buffer[self.used..self.used + length]
            .split_first_chunk_mut::<{ vnet::HEADER }>()
            .ok_or(Malformed)?;
        let offload = vnet::read(header, rest)?;
        self.push(self.used + vnet::HEADER..self.used + length, offload);
        Ok(())
    }

    fn push(&mut self, range: Range<usize>, offload: Offload) {
        // The next frame begins where a word does.
        self.used = range.end.next_multiple_of(8);
        self.frames.push((range, offload));
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch of {}", self.frames.len())
    }
}
