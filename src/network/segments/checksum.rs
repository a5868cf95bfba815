//! The Internet checksum (RFC 1071).

use crate::network::frame::PartialChecksum;

/// The sum of 16-bit words, not yet folded; an odd last byte is a word's first.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    // Sums of wider words fold to the same, and the byte order may be exchanged at the end.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_ne_bytes(last));
    u64::from(u16::from_be(fold(sum)))
}

/// Not complemented.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Makes a checksum that was left undone. None if it lies outside.
pub(super) fn complete(bytes: &mut [u8], place: PartialChecksum) -> Option<()> {
    let covered = bytes.get_mut(usize::from(place.start)..)?;
    let value = !fold(sum(covered));
    let at = usize::from(place.offset);
    // UDP over IPv4 says with 0 that there is none, and to the sum 0xffff is the same.
    let value = if value == 0 { 0xffff } else { value };
    covered.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}
