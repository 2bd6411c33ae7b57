//! The corpus of the fuzz target (`fuzz/`), by an ordinary test: whatever the bytes are, the reader and the map neither
//! panic nor keep more than a line.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test stops at what it did not expect"
)]

use std::io::Cursor;
use std::path::PathBuf;

use siem_forward::input::{InputError, InputMap, Reader, RecordsPointer, Source};

/// The target itself, so that both run the same code.
#[path = "../support/reader_and_map.rs"]
mod reader_and_map;

use reader_and_map::{LINE_BYTES_MAX, MAP, read};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/input");
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_is_read_to_its_end_and_each_event_is_one() {
    let corpus = corpus();
    assert!(corpus.len() >= 15, "{}", corpus.len());
    let mut read_anything = 0;
    for (name, bytes) in &corpus {
        let events = read(bytes);
        assert!(!name.starts_with("good") || events > 0, "{name} gives no event");
        assert!(!name.starts_with("bad") || events == 0, "{name} gives {events} events");
        read_anything += events;
    }
    assert!(read_anything > 10);
}

#[test]
fn every_file_that_is_cut_or_has_a_byte_changed_is_read_to_its_end() {
    for (_, bytes) in corpus() {
        let step = bytes.len() / 3 + 1;
        for at in (0..bytes.len()).step_by(step) {
            read(&bytes[..at]);
            for other in [b'"', b'{', 0xed] {
                let mut changed = bytes.clone();
                changed[at] = other;
                read(&changed);
            }
        }
    }
}

/// Of 40 MB, not even two are ever held by the thread that reads events.
#[test]
fn what_is_too_long_is_refused_with_its_position_and_not_kept() {
    let long = std::iter::repeat_n(b'x', 40_000_000);
    let map = InputMap::from_toml(MAP).unwrap();
    for records in [None, Some("/Records")] {
        let head = if records.is_some() { &b"{\"Records\":[\""[..] } else { b"" };
        let end = if records.is_some() { &b"\"]}"[..] } else { b"" };
        let input: Vec<u8> = head.iter().copied().chain(long.clone()).chain(end.iter().copied()).collect();
        let mut reader =
            Reader::open(vec![Source::reader("x", Cursor::new(input))], LINE_BYTES_MAX).unwrap().with_map(map.clone());
        if let Some(records) = records {
            reader = reader.with_records(RecordsPointer::new(records).unwrap());
        }
        let measured = allocation_counter::measure(|| {
            let Some(Err(InputError::Rejected(line))) = reader.next() else { panic!("it is too long") };
            assert!(line.to_string().starts_with("x:1: ") || line.to_string().starts_with("x: record 1"), "{line}");
            assert!(line.reason().to_string().contains("40000"), "{line}");
        });
        assert!(measured.bytes_max < 2_000_000, "{measured:?}");
    }
}
