//! Whatever comes in, the reader and the map neither panic nor keep more than a line.

#![no_main]

#[path = "../../tests/support/reader_and_map.rs"]
mod reader_and_map;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reader_and_map::read(bytes);
});
