//! The bytes of a datagram, as far as they are readable by everybody; and a hello whole.
//!
//! `docs/overlay-format.md` describes them byte by byte. Everything here comes from strangers: what
//! is not exactly as this version writes it is refused.

use super::{
    Refusal,
    sealing::{Salt, TAG},
};
use crate::domain::overlay::SwitchId;

const VERSION: u8 = 1;

/// What every datagram begins with.
pub(super) const OUTER: usize = 16;

/// What a hello says in clear, with the outer header.
pub(super) const HELLO_CLEAR: usize = OUTER + 28;

const HELLO_BODY: usize = 40;

/// The length of every hello, and of every ping and pong, so that an answer is never longer than what
/// it answers.
pub(super) const HELLO: usize = HELLO_CLEAR + HELLO_BODY + TAG;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 1,
    Record = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outer {
    pub kind: Kind,
    /// Which session of the receiver; 0 in hellos.
    pub index: u32,
    pub counter: u64,
}

impl Outer {
    pub fn write(&self) -> [u8; OUTER] {
        let mut bytes = [0; OUTER];
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    pub fn read(datagram: &[u8]) -> Result<Outer, Refusal> {
        let header = datagram.first_chunk::<OUTER>().ok_or(Refusal::Truncated)?;
        let kind = match header[..4] {
            [VERSION, 1, 0, 0] => Kind::Hello,
            [VERSION, 2, 0, 0] => Kind::Record,
            _ => return Err(Refusal::Version),
        };
        Ok(Outer { kind, index: word(header, 4), counter: double(header, 8) })
    }
}

/// Who calls whom, readable by everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HelloClear {
    pub sender: SwitchId,
    pub receiver: SwitchId,
    pub epoch: u32,
    pub salt: Salt,
}

impl HelloClear {
    pub fn write(&self, counter: u64) -> [u8; HELLO_CLEAR] {
        let mut bytes = [0; HELLO_CLEAR];
        bytes[..OUTER].copy_from_slice(&Outer { kind: Kind::Hello, index: 0, counter }.write());
        bytes[16..20].copy_from_slice(&self.sender.0.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.receiver.0.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[28..44].copy_from_slice(&self.salt.0);
        bytes
    }

    /// Of a datagram whose outer header is a hello's.
    pub fn read(datagram: &[u8]) -> Result<HelloClear, Refusal> {
        if datagram.len() != HELLO {
            return Err(Refusal::Truncated);
        }
        if word(datagram, 4) != 0 {
            return Err(Refusal::Version);
        }
        Ok(HelloClear {
            sender: SwitchId(word(datagram, 16)),
            receiver: SwitchId(word(datagram, 20)),
            epoch: word(datagram, 24),
            salt: Salt(std::array::from_fn(|i| datagram[28 + i])),
        })
    }
}

/// How far a hello's sender is with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Knows no salt of the receiver's.
    First = 1,
    /// Knows the receiver's salt, and not yet whether that is fresh.
    Answer = 2,
    /// Has the session: can open what is sealed for it.
    Finish = 3,
}

/// What a hello says to nobody but the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HelloBody {
    pub stage: Stage,
    /// The sender has the cable up and wants to go on with new keys.
    pub renews: bool,
    /// What to write into the headers of datagrams to the sender.
    pub index: u32,
    /// The receiver's salt: of the session to come, or in the first stage of the one there is.
    pub echo: Salt,
}

impl HelloBody {
    pub fn write(&self) -> [u8; HELLO_BODY] {
        let mut bytes = [0; HELLO_BODY];
        bytes[0] = self.stage as u8;
        bytes[1] = u8::from(self.renews);
        bytes[4..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.echo.0);
        bytes
    }

    pub fn read(body: &[u8]) -> Option<HelloBody> {
        let body: &[u8; HELLO_BODY] = body.try_into().ok()?;
        let stage = match body[0] {
            1 => Stage::First,
            2 => Stage::Answer,
            3 => Stage::Finish,
            _ => return None,
        };
        let echo = Salt(std::array::from_fn(|i| body[8 + i]));
        let is_written_so = body[1] <= 1
            && body[2..4] == [0, 0]
            && body[24..] == [0; 16]
            && (echo != Salt::NONE || stage == Stage::First);
        is_written_so.then(|| HelloBody { stage, renews: body[1] == 1, index: word(body, 4), echo })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn double(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    fn clear() -> HelloClear {
        let (sender, receiver) = (SwitchId(0xa1a2_a3a4), SwitchId(0xb1b2_b3b4));
        HelloClear { sender, receiver, epoch: 0xc1c2_c3c4, salt: Salt([0x5a; 16]) }
    }

    fn body() -> HelloBody {
        HelloBody { stage: Stage::Answer, renews: true, echo: Salt([0x3c; 16]), index: 0xd1d2_d3d4 }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut hello = clear().write(0x0102_0304_0506_0708).to_vec();
        hello.resize(HELLO, 0);
        let outer = Outer { kind: Kind::Hello, index: 0, counter: 0x0102_0304_0506_0708 };
        assert_eq!(Outer::read(&hello), Ok(outer));
        assert_eq!(HelloClear::read(&hello), Ok(clear()));
        assert_eq!(HelloBody::read(&body().write()), Some(body()));
        let record = Outer { kind: Kind::Record, index: 0xe1e2_e3e4, counter: u64::MAX };
        assert_eq!(Outer::read(&record.write()), Ok(record));
    }

    #[test]
    fn what_no_switch_of_this_version_writes_is_refused() {
        let mut hello = clear().write(1).to_vec();
        hello.resize(HELLO, 0);
        let with = |at: usize, byte: u8| {
            let mut altered = hello.clone();
            altered[at] = byte;
            Outer::read(&altered).and_then(|_| HelloClear::read(&altered))
        };
        assert_eq!(with(0, 2), Err(Refusal::Version));
        assert_eq!(with(1, 3), Err(Refusal::Version), "no such kind");
        assert_eq!(with(2, 1), Err(Refusal::Version), "reserved");
        assert_eq!(with(7, 1), Err(Refusal::Version), "a hello is for no session");
        assert_eq!(Outer::read(&hello[..OUTER - 1]), Err(Refusal::Truncated));
        assert_eq!(HelloClear::read(&hello[..HELLO - 1]), Err(Refusal::Truncated));
        assert_eq!(HelloClear::read(&[&hello[..], &[0]].concat()), Err(Refusal::Truncated));

        let with = |at: usize, byte: u8| {
            let mut altered = body().write();
            altered[at] = byte;
            HelloBody::read(&altered)
        };
        assert_eq!(with(0, 0), None, "no such stage");
        let nothing = HelloBody { echo: Salt::NONE, ..body() };
        assert_eq!(HelloBody::read(&nothing.write()), None, "an answer echoes something");
        assert_eq!(with(1, 2), None, "no such flag");
        assert_eq!(with(3, 1), None, "reserved");
        assert_eq!(with(39, 1), None, "reserved");
        assert_eq!(HelloBody::read(&body().write()[..39]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_is_written_so(
            bytes in prop::collection::vec(any::<u8>(), 0..200), tidy in any::<bool>()
        ) {
            let mut bytes = bytes;
            if tidy && bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0]);
                bytes.resize(HELLO, 0);
            }
            if let Ok(outer) = Outer::read(&bytes) {
                prop_assert_eq!(&outer.write()[..], &bytes[..OUTER]);
                if let Ok(clear) = HelloClear::read(&bytes) && outer.kind == Kind::Hello {
                    prop_assert_eq!(&clear.write(outer.counter)[..], &bytes[..HELLO_CLEAR]);
                }
            }
            if let Some(body) = HelloBody::read(&bytes) {
                prop_assert_eq!(&body.write()[..], &bytes[..]);
            }
        }
    }
}
