//! Parameters of a request: encoded again they say the same, and are read into an action's shape or
//! refused in words that an answer can carry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mallee_fuzz::api_bytes::parameters(bytes);
});
