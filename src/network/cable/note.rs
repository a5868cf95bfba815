//! What the two ends of a cable tell one another, sealed, in records of kind `Cable`.
//!
//! `docs/overlay-format.md` describes the bytes. A note is read whole or not at all.

use crate::domain::overlay::SwitchId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many switches are asked after, or introduced, in one note.
pub(super) const MOST_NAMED: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// To be answered at once, to where it came from.
    Ping(Sign),
    /// Answers the ping of this number.
    Pong(Sign, u32),
    /// Padded to `size`, as the whole datagram. To be answered at once.
    Probe {
        size: u16,
        number: u32,
    },
    ProbeArrived {
        size: u16,
        number: u32,
    },
    /// Where are these switches?
    Ask(Vec<SwitchId>),
    /// These switches are heard at these addresses, and may be told the same of the receiver.
    Introduction(Vec<(SwitchId, SocketAddr)>),
    /// The sender stops.
    Farewell,
}

/// A sign of life, in a ping or a pong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign {
    /// Signs are numbered from 1 since the cable came up.
    pub number: u32,
    /// The highest number of the receiver's that arrived; 0 if none.
    pub heard: u32,
    /// In a ping whatever the sender wants to find in the pong, in a pong what was in the ping.
    pub time: u64,
    /// The part of what the receiver sent that was lost, of 65535.
    pub loss: u16,
    /// Where the sender sees the receiver.
    pub seen_at: SocketAddr,
}

const SIGN: usize = 44;
const NAMED: usize = 24;
const PROBE: usize = 8;

impl Note {
    pub fn write(&self) -> Vec<u8> {
        match self {
            Note::Ping(sign) => sign.write(1, 0),
            Note::Pong(sign, answers) => sign.write(2, *answers),
            Note::Probe { size, number } => probe(3, *size, *number),
            Note::ProbeArrived { size, number } => probe(4, *size, *number),
            Note::Ask(switches) => {
                let mut bytes = vec![5, switches.len() as u8, 0, 0];
                bytes.extend(switches.iter().flat_map(|switch| switch.0.to_be_bytes()));
                bytes
            }
            Note::Introduction(named) => {
                let mut bytes = vec![6, named.len() as u8, 0, 0];
                for (switch, address) in named {
                    bytes.extend(switch.0.to_be_bytes());
                    bytes.extend(write_address(*address));
                }
                bytes
            }
            Note::Farewell => vec![7, 0, 0, 0],
        }
    }

    /// None for what no switch of this version writes.
    pub fn read(bytes: &[u8]) -> Option<Note> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let half = u16::from_be_bytes([head[2], head[3]]);
        let count = usize::from(head[1]);
        let is_named = head[2..] == [0, 0] && (1..=MOST_NAMED).contains(&count);
        match head[0] {
            1 if head[1] == 0 => match Sign::read(half, rest)? {
                (sign, 0) => Some(Note::Ping(sign)),
                _ => None,
            },
            2 if head[1] == 0 => Sign::read(half, rest).map(|(s, answers)| Note::Pong(s, answers)),
            3 if head[1] == 0 => {
                let (number, padding) = rest.split_first_chunk()?;
                let number = u32::from_be_bytes(*number);
                padding.iter().all(|byte| *byte == 0).then_some(Note::Probe { size: half, number })
            }
            4 if head[1] == 0 => {
                let number = u32::from_be_bytes(rest.try_into().ok()?);
                Some(Note::ProbeArrived { size: half, number })
            }
            5 if is_named && rest.len() == 4 * count => {
                let (words, _) = rest.as_chunks();
                Some(Note::Ask(words.iter().map(|w| SwitchId(u32::from_be_bytes(*w))).collect()))
            }
            6 if is_named && rest.len() == NAMED * count => {
                let (entries, _) = rest.as_chunks::<NAMED>();
                let named = entries.iter().map(|entry| {
                    let (switch, address) = entry.split_first_chunk()?;
                    Some((SwitchId(u32::from_be_bytes(*switch)), read_address(address)?))
                });
                named.collect::<Option<_>>().map(Note::Introduction)
            }
            7 if head[1..] == [0, 0, 0] && rest.is_empty() => Some(Note::Farewell),
            _ => None,
        }
    }
}

fn probe(kind: u8, size: u16, number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROBE);
    bytes.extend([kind, 0]);
    bytes.extend(size.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes
}

impl Sign {
    fn write(&self, kind: u8, answers: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIGN);
        bytes.extend([kind, 0]);
        bytes.extend(self.loss.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.heard.to_be_bytes());
        bytes.extend(answers.to_be_bytes());
        bytes.extend(self.time.to_be_bytes());
        bytes.extend(write_address(self.seen_at));
        bytes
    }

    fn read(loss: u16, bytes: &[u8]) -> Option<(Sign, u32)> {
        let (number, bytes) = bytes.split_first_chunk()?;
        let (heard, bytes) = bytes.split_first_chunk()?;
        let (answers, bytes) = bytes.split_first_chunk()?;
        let (time, bytes) = bytes.split_first_chunk()?;
        let sign = Sign {
            number: u32::from_be_bytes(*number),
            heard: u32::from_be_bytes(*heard),
            time: u64::from_be_bytes(*time),
            loss,
            seen_at: read_address(bytes)?,
        };
        Some((sign, u32::from_be_bytes(*answers)))
    }
}

/// Family (4 or 6), zero, port, then the address, an IPv4 one before twelve zeros.
fn write_address(address: SocketAddr) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[0] = 4;
            bytes[4..8].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes[0] = 6;
            bytes[4..].copy_from_slice(&ip.octets());
        }
    }
    bytes
}

fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let bytes: &[u8; 20] = bytes.try_into().ok()?;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let octets: [u8; 16] = std::array::from_fn(|i| bytes[4 + i]);
    match bytes[..2] {
        [4, 0] if octets[4..] == [0; 12] => {
            let ip = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
            Some(SocketAddr::from((ip, port)))
        }
        [6, 0] => Some(SocketAddr::from((Ipv6Addr::from(octets), port))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    fn sign() -> Sign {
        Sign {
            number: 0x0102_0304,
            heard: 0x1112_1314,
            time: 0x2122_2324_2526_2728,
            loss: 0x3132,
            seen_at: "192.0.2.1:4500".parse().unwrap(),
        }
    }

    fn notes() -> Vec<Note> {
        let v6 = "[2001:db8::1]:1".parse().unwrap();
        vec![
            Note::Ping(sign()),
            Note::Pong(Sign { seen_at: v6, ..sign() }, 9),
            Note::Probe { size: 1472, number: 5 },
            Note::ProbeArrived { size: 1472, number: 5 },
            Note::Ask(vec![SwitchId(1), SwitchId(2)]),
            Note::Introduction(vec![(SwitchId(3), sign().seen_at), (SwitchId(4), v6)]),
            Note::Farewell,
        ]
    }

    #[test]
    fn a_ping_is_these_bytes() {
        let bytes = [
            1, 0, 0x31, 0x32, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0, 0, 0, 0, 0x21, 0x22, 0x23,
            0x24, 0x25, 0x26, 0x27, 0x28, 4, 0, 0x11, 0x94, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0,
        ];
        assert_eq!(Note::Ping(sign()).write(), bytes);
    }

    #[test]
    fn what_is_written_is_read_and_cut_or_longer_it_is_not() {
        for note in notes() {
            let bytes = note.write();
            assert_eq!(Note::read(&bytes).as_ref(), Some(&note));
            for length in 0..bytes.len() {
                assert_eq!(Note::read(&bytes[..length]), None, "{note:?} cut to {length}");
            }
            let longer = [&bytes[..], &[1]].concat();
            assert_eq!(Note::read(&longer), None, "{note:?}");
        }
    }

    #[test]
    fn a_probe_is_padded_with_zeros() {
        let mut bytes = Note::Probe { size: 1472, number: 5 }.write();
        bytes.resize(1400, 0);
        assert_eq!(Note::read(&bytes), Some(Note::Probe { size: 1472, number: 5 }));
    }

    #[test]
    fn more_are_not_named_than_a_note_may_name() {
        let named = vec![(SwitchId(1), sign().seen_at); MOST_NAMED + 1];
        assert_eq!(Note::read(&Note::Introduction(named).write()), None);
        assert_eq!(Note::read(&Note::Ask(vec![SwitchId(1); MOST_NAMED + 1]).write()), None);
        assert_eq!(Note::read(&Note::Ask(vec![]).write()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_is_written_so(
            kind in 0u8..9, count in 0u8..18, bytes in prop::collection::vec(any::<u8>(), 0..420)
        ) {
            for bytes in [[&[kind, count, 0, 0], &bytes[..]].concat(), bytes] {
                if let Some(note) = Note::read(&bytes) {
                    let mut written = note.write();
                    written.resize(written.len().max(bytes.len()), 0);
                    prop_assert_eq!(written, bytes);
                }
            }
        }
    }
}
