//! The keys that seal datagrams, and how they are made.
//!
//! A key is HKDF-SHA256 of the epoch's secret for one direction, salted with the session's salt,
//! which no other session of any life has. So a counter that begins at zero with each key is a
//! nonce that never repeats.

use crate::domain::overlay::{CableKey, SwitchId};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use std::fmt;

/// What AES-256-GCM adds to a datagram.
pub(super) const TAG: usize = 16;

/// A session's salt: the incarnation that made it, then chance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(pub [u8; 16]);

impl Salt {
    /// No session has it.
    pub const NONE: Salt = Salt([0; 16]);

    pub fn new(incarnation: u64, chance: [u8; 8]) -> Salt {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&incarnation.to_be_bytes());
        salt[8..].copy_from_slice(&chance);
        Salt(salt)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Who seals for whom with which secret.
#[derive(Clone, Copy)]
pub(super) struct Direction<'k> {
    pub secret: &'k CableKey,
    pub epoch: u32,
    pub sender: SwitchId,
    pub receiver: SwitchId,
    /// Of the sender.
    pub salt: Salt,
}

impl Direction<'_> {
    /// Seals and opens hellos: nothing of the receiver need be known.
    pub fn hello_key(&self) -> Key {
        self.derive(&[b"mallee cable 1 hello"])
    }

    /// Seals and opens records of the session that two salts make.
    pub fn record_key(&self, receivers: &Salt) -> Key {
        self.derive(&[b"mallee cable 1 record", &receivers.0])
    }

    fn derive(&self, purpose: &[&[u8]]) -> Key {
        let (sender, receiver) = (self.sender.0.to_be_bytes(), self.receiver.0.to_be_bytes());
        let epoch = self.epoch.to_be_bytes();
        let info = [purpose, &[&epoch[..], &sender, &receiver]].concat();
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &self.salt.0).extract(&self.secret.0);
        let mut bytes = [0; 32];
        secret
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut bytes))
            .expect("HKDF-SHA256 makes up to 8160 bytes");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("a key of AES-256 has 32 bytes");
        Key {
            key: LessSafeKey::new(key),
            #[cfg(test)]
            bytes,
        }
    }
}

/// A key ready for use.
pub(super) struct Key {
    key: LessSafeKey,
    #[cfg(test)]
    bytes: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Key {
    /// Seals what stands in `datagram` behind its first `clear` bytes, which are authenticated as
    /// they are. No counter may be used twice with one key.
    pub fn seal(&self, counter: u64, datagram: &mut Vec<u8>, start: usize, clear: usize) {
        #[cfg(test)]
        witness::sealed(self.bytes, counter);
        let (clear, secret) = datagram[start..].split_at_mut(clear);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&*clear), secret)
            .expect("a datagram is shorter than the 64 GiB that AES-GCM seals at most");
        datagram.extend_from_slice(tag.as_ref());
    }

    /// What was sealed, in its place; None if the datagram is not what was sealed with this key.
    pub fn open<'d>(
        &self,
        counter: u64,
        datagram: &'d mut [u8],
        clear: usize,
    ) -> Option<&'d mut [u8]> {
        let (clear, sealed) = datagram.split_at_mut_checked(clear)?;
        self.key.open_in_place(nonce(counter), Aad::from(&*clear), sealed).ok()
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Sees everything that a test's thread seals, and fails it when a nonce repeats.
#[cfg(test)]
pub(super) mod witness {
    use std::{cell::RefCell, collections::HashMap, collections::HashSet};

    thread_local! {
        static SEALED: RefCell<HashMap<[u8; 32], Counters>> = RefCell::default();
    }

    /// All counters below a number, and some beyond: days of datagrams are remembered.
    #[derive(Default)]
    struct Counters {
        below: u64,
        beyond: HashSet<u64>,
    }

    impl Counters {
        fn insert(&mut self, counter: u64) -> bool {
            if counter < self.below || !self.beyond.insert(counter) {
                return false;
            }
            while self.beyond.remove(&self.below) {
                self.below += 1;
            }
            true
        }
    }

    pub fn sealed(key: [u8; 32], counter: u64) {
        let is_new =
            SEALED.with_borrow_mut(|sealed| sealed.entry(key).or_default().insert(counter));
        assert!(is_new, "nonce {counter} was used twice with one key");
    }

    /// How many keys have sealed something, and how many datagrams.
    pub fn count() -> (usize, usize) {
        let all = |counters: &Counters| counters.below as usize + counters.beyond.len();
        SEALED.with_borrow(|sealed| (sealed.len(), sealed.values().map(all).sum()))
    }

    /// Fixed keys seal the same in every test that pins bytes.
    pub fn forget() {
        SEALED.with_borrow_mut(HashMap::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(secret: &CableKey) -> Direction<'_> {
        let (sender, receiver) = (SwitchId(1), SwitchId(2));
        Direction { secret, epoch: 3, sender, receiver, salt: Salt::new(4, [5; 8]) }
    }

    #[test]
    fn keys_differ_in_everything_that_makes_them() {
        let (secret, other) = (CableKey([1; 32]), CableKey([2; 32]));
        let base = direction(&secret);
        let theirs = Salt::new(6, [7; 8]);
        let keys = [
            base.hello_key(),
            base.record_key(&theirs),
            base.record_key(&Salt::new(6, [8; 8])),
            direction(&other).hello_key(),
            Direction { epoch: 4, ..base }.hello_key(),
            Direction { sender: SwitchId(2), receiver: SwitchId(1), ..base }.hello_key(),
            Direction { salt: Salt::new(5, [5; 8]), ..base }.hello_key(),
            Direction { salt: Salt::new(4, [6; 8]), ..base }.hello_key(),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().map(|key| key.bytes).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn what_was_altered_anywhere_does_not_open() {
        let secret = CableKey([1; 32]);
        let key = direction(&secret).hello_key();
        let mut sealed = b"clear, secret".to_vec();
        key.seal(9, &mut sealed, 0, 6);
        assert!(!sealed.ends_with(b"secret"));
        let opened = key.open(9, &mut sealed.clone(), 6).map(|bytes| bytes.to_vec());
        assert_eq!(opened.as_deref(), Some(&b" secret"[..]));
        assert!(key.open(8, &mut sealed.clone(), 6).is_none(), "another counter");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert!(key.open(9, &mut altered, 6).is_none(), "bit {bit} of byte {at}");
            }
            assert!(key.open(9, &mut sealed[..at].to_vec(), 6).is_none(), "cut to {at} bytes");
        }
    }

    #[test]
    #[should_panic(expected = "used twice")]
    fn the_witness_sees_a_repeated_nonce() {
        let secret = CableKey([1; 32]);
        direction(&secret).hello_key().seal(0, &mut vec![0; 4], 0, 4);
        direction(&secret).hello_key().seal(0, &mut vec![1; 4], 0, 4);
    }
}
