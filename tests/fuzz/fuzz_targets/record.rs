//! What one switch says to the next: a header is read whole or not at all, and written in the same
//! bytes.
#![no_main]

use mallee_fuzz::network::record::{HEADER, RecordHeader};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((header, rest)) = RecordHeader::read(bytes) {
        assert_eq!(header.write(), bytes[..HEADER]);
        assert_eq!(rest, &bytes[HEADER..]);
    }
});
