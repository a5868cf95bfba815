//! What is said on a link: questions, answers, and that one is still there.
//!
//! A frame is a length, a head (postcard), and the body of a question or answer as it is: the body
//! is never taken apart here. The golden bytes in the tests are protocol version 1.

use super::limits::{ENVELOPE_LIMIT_BYTES, FRAME_LIMIT_BYTES};
use crate::messages::envelope::{BODY_LIMIT_BYTES, Envelope, LinkFault};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Question {
        id: u64,
        envelope: Envelope,
    },
    Answer {
        id: u64,
        answer: Result<Vec<u8>, LinkFault>,
    },
    Ping(u64),
    Pong(u64),
    /// The last frame: why the sender hangs up.
    Goodbye(String),
}

/// A frame without its body.
#[derive(Serialize, Deserialize)]
enum Head {
    /// The envelope's body is empty; it follows the head.
    Question(u64, Envelope),
    /// The answer follows the head.
    Answer(u64),
    NoAnswer(u64, LinkFault),
    Ping(u64),
    Pong(u64),
    Goodbye(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameFault {
    #[error("a frame that cannot be read")]
    Unreadable,
    #[error("a frame of more than {FRAME_LIMIT_BYTES} bytes")]
    TooLarge,
}

pub(super) fn codec(limit_bytes: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(limit_bytes).new_codec()
}

impl Frame {
    pub fn encode(self) -> Result<Bytes, FrameFault> {
        let (head, body) = match self {
            Frame::Question { id, mut envelope } => {
                let body = std::mem::take(&mut envelope.body);
                (Head::Question(id, envelope), body)
            }
            Frame::Answer { id, answer: Ok(body) } => (Head::Answer(id), body),
            Frame::Answer { id, answer: Err(fault) } => (Head::NoAnswer(id, fault), Vec::new()),
            Frame::Ping(number) => (Head::Ping(number), Vec::new()),
            Frame::Pong(number) => (Head::Pong(number), Vec::new()),
            Frame::Goodbye(reason) => (Head::Goodbye(reason), Vec::new()),
        };
        let mut bytes = postcard::to_stdvec(&head).map_err(|_| FrameFault::Unreadable)?;
        if bytes.len() > ENVELOPE_LIMIT_BYTES || body.len() > BODY_LIMIT_BYTES {
            return Err(FrameFault::TooLarge);
        }
        bytes.extend_from_slice(&body);
        Ok(bytes.into())
    }

    pub fn decode(bytes: &[u8]) -> Result<Frame, FrameFault> {
        let (head, body) =
            postcard::take_from_bytes::<Head>(bytes).map_err(|_| FrameFault::Unreadable)?;
        if bytes.len() - body.len() > ENVELOPE_LIMIT_BYTES {
            return Err(FrameFault::TooLarge);
        }
        let frame = match head {
            Head::Question(id, mut envelope) => {
                if !envelope.body.is_empty() {
                    return Err(FrameFault::Unreadable);
                }
                envelope.body = body.to_vec();
                return Ok(Frame::Question { id, envelope });
            }
            Head::Answer(id) => return Ok(Frame::Answer { id, answer: Ok(body.to_vec()) }),
            Head::NoAnswer(id, fault) => Frame::Answer { id, answer: Err(fault) },
            Head::Ping(number) => Frame::Ping(number),
            Head::Pong(number) => Frame::Pong(number),
            Head::Goodbye(reason) => Frame::Goodbye(reason),
        };
        if body.is_empty() { Ok(frame) } else { Err(FrameFault::Unreadable) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::envelope, *};

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Question { id: 7, envelope: envelope("node.boot", 250, b"body") },
            Frame::Answer { id: 7, answer: Ok(b"done".to_vec()) },
            Frame::Answer { id: 7, answer: Err(LinkFault::NotDelivered("busy".into())) },
            Frame::Answer { id: 7, answer: Err(LinkFault::Unanswered) },
            Frame::Ping(1),
            Frame::Pong(1),
            Frame::Goodbye("enough".into()),
        ]
    }

    #[test]
    fn every_frame_is_read_back() {
        for frame in frames() {
            assert_eq!(Frame::decode(&frame.clone().encode().unwrap()), Ok(frame));
        }
    }

    #[test]
    fn protocol_version_1_looks_like_this() {
        let hex = |frame: Frame| -> String {
            frame.encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let looks: Vec<String> = frames().into_iter().map(hex).collect();
        assert_eq!(
            looks,
            [
                "0007096e6f64652e626f6f7403722d3100fa010c3131313132323232333333330000626f6479",
                "0107646f6e65",
                "0207000462757379",
                "020701",
                "0301",
                "0401",
                "0506656e6f756768",
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        for bytes in [&b""[..], b"\x09", b"\x00", b"\x03\x01rest", b"\xff\xff\xff\xff\xff"] {
            assert_eq!(Frame::decode(bytes), Err(FrameFault::Unreadable), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes: Vec<u8>) {
            if let Ok(frame) = Frame::decode(&bytes) {
                let again = frame.clone().encode().unwrap();
                proptest::prop_assert_eq!(Frame::decode(&again), Ok(frame));
            }
        }
    }

    #[test]
    fn a_body_at_its_limit_fits_and_nothing_larger_does() {
        let answer = |size| Frame::Answer { id: u64::MAX, answer: Ok(vec![0; size]) };
        assert!(answer(BODY_LIMIT_BYTES).encode().unwrap().len() <= FRAME_LIMIT_BYTES);
        assert_eq!(answer(BODY_LIMIT_BYTES + 1).encode(), Err(FrameFault::TooLarge));
        let long = "n".repeat(ENVELOPE_LIMIT_BYTES);
        let question = Frame::Question { id: 0, envelope: envelope(&long, 1, b"") };
        assert_eq!(question.encode(), Err(FrameFault::TooLarge));
        let head = postcard::to_stdvec(&Head::Goodbye(long)).unwrap();
        assert_eq!(Frame::decode(&head), Err(FrameFault::TooLarge));
    }
}
