//! Inputs read as instructions: numbers and pieces of bytes, taken from the front.
//!
//! The layout is plain, so that an input can be read in a hex dump, a seed can be written by hand,
//! and what libFuzzer splices stays meaningful. Numbers are big-endian, as on wires.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn half(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    /// A length of two bytes, and so many bytes, or as many as there are.
    pub fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.half()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// A piece as `Input::piece` reads it.
pub fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are short");
    [&length.to_be_bytes(), bytes].concat()
}
