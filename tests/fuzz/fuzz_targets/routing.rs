//! What switches tell each other about themselves.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mallee_fuzz::routing_bytes::record(bytes));
