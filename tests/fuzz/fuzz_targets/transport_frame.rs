//! Frames of the links between processes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mallee_fuzz::transport_bytes::frame(bytes));
