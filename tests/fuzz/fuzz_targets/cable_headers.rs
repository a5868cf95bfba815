//! What everybody can read of a cable's datagrams.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mallee_fuzz::cable_bytes::headers(bytes));
