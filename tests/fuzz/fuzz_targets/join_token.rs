//! What lets a new host join.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mallee_fuzz::transport_bytes::token(bytes));
