//! What processes of a cloud say to each other over links, and what lets a new one in: the room
//! keeps its frames to itself, so these files are compiled once more.

#[path = "../../../src/transport/fingerprint.rs"]
mod fingerprint;
#[path = "../../../src/transport/frame.rs"]
mod frame;
#[path = "../../../src/transport/limits.rs"]
mod limits;
#[path = "../../../src/transport/role.rs"]
mod role;
#[path = "../../../src/transport/token.rs"]
mod token;

use crate::{
    domain::account::{Caller, Role},
    messages::{
        CallContext,
        envelope::{Envelope, LinkFault},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fingerprint::Fingerprint;
use frame::Frame;
use ring::digest;
use std::time::{Duration, SystemTime};
use token::{JoinToken, Secret};

/// A frame that is read is written so that the same is read.
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else { return };
    let written = frame.clone().encode().expect("what was read is not too large");
    assert_eq!(Frame::decode(&written), Ok(frame));
}

/// A token's text; or what a token's text holds, behind the sum that makes it one.
pub fn token(bytes: &[u8]) {
    let digest = digest::digest(&digest::SHA256, bytes);
    let held = [bytes, &digest.as_ref()[..4]].concat();
    let made = format!("mallee-join-1.{}", URL_SAFE_NO_PAD.encode(held));
    for text in [made.as_str(), &String::from_utf8_lossy(bytes)] {
        if let Ok(token) = text.parse::<JoinToken>() {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
}

/// One frame of each kind, for seeds.
pub fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let context = CallContext {
        request_id: "r-1".to_owned(),
        trace_id: None,
        time_left_ms: 250,
        on_behalf_of: Caller {
            account: "111122223333".parse().expect("this is a well-formed account"),
            role: Role::User,
        },
    };
    let envelope = Envelope { name: "node.boot".to_owned(), context, body: b"body".to_vec() };
    let refused = LinkFault::NotDelivered("busy".to_owned());
    [
        ("question", Frame::Question { id: 7, envelope }),
        ("answer", Frame::Answer { id: 7, answer: Ok(b"done".to_vec()) }),
        ("not-delivered", Frame::Answer { id: 7, answer: Err(refused) }),
        ("unanswered", Frame::Answer { id: 7, answer: Err(LinkFault::Unanswered) }),
        ("ping", Frame::Ping(1)),
        ("pong", Frame::Pong(300)),
        ("goodbye", Frame::Goodbye("enough".to_owned())),
    ]
    .map(|(name, frame)| (name, frame.encode().expect("it is small").to_vec()))
    .into()
}

/// A token, and what it holds, for seeds.
pub fn tokens() -> Vec<(&'static str, Vec<u8>)> {
    let secret = postcard::from_bytes::<Secret>(&[7; 32]).expect("a secret is its bytes");
    let token = JoinToken {
        cloud: "lab".to_owned(),
        authority: Fingerprint::of(b"authority"),
        addresses: vec!["10.0.0.1:7446".to_owned(), "group.lab:7446".to_owned()],
        role: role::Role::Node,
        group: "east".to_owned(),
        secret,
        expires: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
    };
    let held = postcard::to_stdvec(&token).expect("a token is plain data");
    vec![("text", token.to_string().into_bytes()), ("held", held)]
}
