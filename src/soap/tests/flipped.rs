//! Whatever is changed in a signed message, nothing is taken but what was signed.

use crate::soap::element::Element;
use crate::soap::testing::verified;
use proptest::prelude::{any, prop, proptest};

const EXCLUSIVE: &[u8] = include_bytes!("../fixtures/zeep_binary_sha256.xml");
const INCLUSIVE: &[u8] = include_bytes!("../fixtures/inclusive.xml");

/// Either refused, or taken for exactly what it was taken for before.
#[track_caller]
fn check(altered: &[u8], payload: &Element) -> bool {
    match verified(altered) {
        Ok(taken) => {
            assert_eq!(taken.payload, *payload, "{}", String::from_utf8_lossy(altered));
            true
        }
        Err(_) => false,
    }
}

#[test]
fn no_single_byte_can_be_changed_to_another_meaning() {
    for message in [EXCLUSIVE, INCLUSIVE] {
        let payload = verified(message).unwrap().payload;
        let mut taken = 0;
        for position in 0..message.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut altered = message.to_vec();
                altered[position] ^= mask;
                taken += usize::from(check(&altered, &payload));
            }
        }
        // Comments and white space are not signed; nearly all else is.
        assert!(taken < message.len() / 10, "{taken} of {} are taken", 3 * message.len());
    }
}

proptest! {
    #[test]
    fn no_part_can_be_cut_doubled_or_replaced_to_another_meaning(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        into in any::<prop::sample::Index>(),
        instead in ".{0,8}",
    ) {
        let payload = verified(EXCLUSIVE).unwrap().payload;
        let (from, to) = (from.index(EXCLUSIVE.len()), to.index(EXCLUSIVE.len()));
        let (from, to) = (from.min(to), from.max(to));
        let into = into.index(EXCLUSIVE.len());
        let part = &EXCLUSIVE[from..to];
        check(&[&EXCLUSIVE[..from], instead.as_bytes(), &EXCLUSIVE[to..]].concat(), &payload);
        check(&[&EXCLUSIVE[..into], part, &EXCLUSIVE[into..]].concat(), &payload);
    }
}
