//! The configuration: whatever its bytes are, reading it ends without a panic and says where it is wrong.
//!
//! `cargo +nightly fuzz run config`
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(told) = siem_forward::cli::read_configuration(bytes) {
        assert!(told.starts_with("siem.toml"), "{told}");
    }
});
