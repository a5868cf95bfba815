//! What the two ends of a cable tell one another.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mallee_fuzz::cable_bytes::note(bytes));
