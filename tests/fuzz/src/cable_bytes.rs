//! What a cable reads before it trusts anything, and what its ends tell one another: the room keeps
//! these files to itself, so they are compiled once more.

#[path = "../../../src/network/cable/datagram.rs"]
mod datagram;
#[path = "../../../src/network/cable/note.rs"]
mod note;
#[path = "../../../src/network/cable/sealing.rs"]
mod sealing;

use crate::network::cable::Refusal;
use datagram::{HELLO, HELLO_CLEAR, HelloBody, HelloClear, Kind, OUTER, Outer};
use note::Note;

/// Headers of datagrams and hellos: what is read is written in the same bytes.
pub fn headers(bytes: &[u8]) {
    if let Ok(outer) = Outer::read(bytes) {
        assert_eq!(outer.write(), bytes[..OUTER]);
        if outer.kind == Kind::Hello
            && let Ok(clear) = HelloClear::read(bytes)
        {
            assert_eq!(bytes.len(), HELLO);
            assert_eq!(clear.write(outer.counter), bytes[..HELLO_CLEAR]);
        }
    }
    if let Some(body) = HelloBody::read(bytes) {
        assert_eq!(&body.write()[..], bytes);
    }
}

/// A note that is read is written in the same bytes, but for what pads a probe.
pub fn note(bytes: &[u8]) {
    let Some(note) = Note::read(bytes) else { return };
    let written = note.write();
    let padding = bytes.strip_prefix(&written[..]).expect("it was read from these bytes");
    let is_probe = matches!(note, Note::Probe { .. });
    assert!(padding.is_empty() || is_probe && padding.iter().all(|byte| *byte == 0));
}
