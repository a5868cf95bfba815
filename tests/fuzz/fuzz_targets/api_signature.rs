//! Who sent a request, by either version of signatures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mallee_fuzz::api_bytes::signature(bytes);
});
