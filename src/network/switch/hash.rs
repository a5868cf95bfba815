//! Hashing for tables that every frame is looked up in.
//!
//! The standard library's hasher withstands keys chosen to collide, and costs more than the rest
//! of a look-up. Whoever could choose keys here fills a table of one port that is bounded anyway.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Folding>>;
pub type FastSet<K> = HashSet<K, BuildHasherDefault<Folding>>;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const START: u64 = 0x243f_6a88_85a3_08d3;

/// Multiplies to 128 bits and folds the halves, so that each bit of a key reaches each of the hash.
#[derive(Debug, Clone)]
pub struct Folding(u64);

impl Default for Folding {
    fn default() -> Folding {
        Folding(START)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, ODD).wrapping_add(START);
    }
    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }
    fn write_u16(&mut self, half: u16) {
        self.write_u64(half.into());
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }
    fn write_u128(&mut self, words: u128) {
        self.write_u64(words as u64);
        self.write_u64((words >> 64) as u64);
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// A hash that is the same in every switch of this version.
pub fn hash_of(words: [u64; 3]) -> u64 {
    let mut hasher = Folding::default();
    for word in words {
        hasher.write_u64(word);
    }
    fold(hasher.finish() ^ ODD, ODD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[test]
    fn successive_keys_spread_over_both_ends_of_the_hash() {
        let build = BuildHasherDefault::<Folding>::default();
        let mut low = [0u32; 256];
        let mut high = [0u32; 128];
        for key in 0..65_536u128 {
            let hash = build.hash_one(key << 40);
            low[(hash & 255) as usize] += 1;
            high[(hash >> 57) as usize] += 1;
        }
        assert!(low.iter().all(|n| (128..512).contains(n)), "{low:?}");
        assert!(high.iter().all(|n| (256..1024).contains(n)), "{high:?}");
    }
}
