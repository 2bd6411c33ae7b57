//! The configuration: whatever its bytes are, reading it ends without a panic and says where it is wrong.
//!
//! `cargo +nightly fuzz run config fuzz/corpus/config tests/corpus/config`: what is new goes to the first folder; what goes
//! wrong belongs into the second, where an ordinary test reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(told) = siem_forward::cli::read_configuration(bytes) {
        assert!(told.starts_with("siem.toml"), "{told}");
    }
});
