//! What is read becomes an event or is handed back with its file, line and reason; nothing is skipped in silence.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;

use siem_forward::AuditEvent;
use siem_forward::input::{InputError, Reader, RecordsPointer, RejectedFile, Source};

const LINE_BYTES_MAX: usize = 1000;

fn line(user: &str) -> String {
    format!(r#"{{"timestamp":"2026-01-01T00:00:00Z","event_type":"user_login","severity":"low","user_id":"{user}"}}"#)
}

fn source(name: &str, text: impl Into<Vec<u8>>) -> Source {
    Source::reader(name, io::Cursor::new(text.into()))
}

/// Users of the events and the messages of the others, in their order.
fn outcomes(sources: Vec<Source>) -> Vec<String> {
    let reader = Reader::open(sources, LINE_BYTES_MAX).unwrap();
    let show = |event: AuditEvent| event.user_id().unwrap_or("-").to_owned();
    reader.map(|read| read.map_or_else(|error| error.to_string(), show)).collect()
}

#[test]
fn each_rejection_names_its_file_and_line_and_the_reading_goes_on() {
    let first = [line("a"), String::new(), "{".to_owned(), line("b")].join("\r\n");
    let long = format!("{}\n[]\n\n{}", "x".repeat(LINE_BYTES_MAX + 1), line("c"));
    let mut binary = b"\n\xff\xfe\n".to_vec();
    binary.extend_from_slice(line("d").replace("low", "worst").as_bytes());
    let expected = [
        "a",
        "first:3: not JSON: EOF while parsing an object at byte 1",
        "b",
        "second:1: the line has 1001 bytes, 1000 are allowed",
        "second:2: not a JSON object",
        "c",
        "third:2: not UTF-8 from byte 1 on",
        "third:3: severity: unknown severity: it is low, medium, high or critical",
    ];
    assert_eq!(outcomes(vec![source("first", first), source("second", long), source("third", binary)]), expected);
}

#[test]
fn files_are_read_in_their_order_and_their_bytes_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, format!("\u{feff}{}\n", line("1"))).unwrap();
    std::fs::write(&two, line("2")).unwrap();
    let total = std::fs::metadata(&one).unwrap().len() + std::fs::metadata(&two).unwrap().len();
    let mut reader = Reader::open(vec![Source::file(&one), Source::file(&two)], LINE_BYTES_MAX).unwrap();
    assert_eq!(reader.bytes_total(), Some(total));
    assert_eq!(reader.position(), None);
    assert_eq!(reader.next().unwrap().unwrap().user_id(), Some("1"));
    assert_eq!(reader.position(), Some((one.to_str().unwrap(), 1)));
    assert_eq!(reader.next().unwrap().unwrap().user_id(), Some("2"));
    assert!(reader.next().is_none());
    assert_eq!(reader.bytes_read(), total);
    let mixed = Reader::open(vec![Source::file(&one), source("x", "")], LINE_BYTES_MAX).unwrap();
    assert_eq!(mixed.bytes_total(), None);
}

#[test]
fn a_source_that_cannot_be_read_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let error = Reader::open(vec![source("good", line("a")), Source::file("/nonexistent/events.ndjson")], 100);
    assert!(error.unwrap_err().to_string().starts_with("cannot read /nonexistent/events.ndjson: "));
    let error = Reader::open(vec![Source::file(folder.path())], 100).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("directory"), "{error}");
}

/// A source that breaks.
struct Broken;
impl Read for Broken {
    fn read(&mut self, _out: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

/// A source that holds up the next until the other end is dropped: sources are read ahead.
struct EndsWhenTold(mpsc::Receiver<()>);
impl Read for EndsWhenTold {
    fn read(&mut self, _out: &mut [u8]) -> io::Result<usize> {
        // However often it is asked.
        self.0.recv().or(Ok(())).map(|()| 0)
    }
}

#[test]
fn a_source_that_breaks_midway_is_named_with_its_line_and_the_next_is_read() {
    let text = format!("{}\n{}\n{{\"half", line("a"), line("b"));
    let broken = Source::reader("broken", io::Cursor::new(text).chain(Broken));
    let expected = ["a", "b", "cannot read broken from line 3 on: the disk is gone", "c"];
    assert_eq!(outcomes(vec![broken, source("next", line("c"))]), expected);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone");
    std::fs::write(&path, line("a")).unwrap();
    let (tell, told) = mpsc::channel();
    let sources = vec![Source::reader("first", EndsWhenTold(told)), Source::file(&path)];
    let mut reader = Reader::open(sources, LINE_BYTES_MAX).unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(tell);
    assert!(matches!(reader.next(), Some(Err(InputError::Broken { number: 1, .. }))));
    assert!(reader.next().is_none());
}

#[test]
fn a_named_pipe_is_opened_once_and_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let writer = std::thread::spawn({
        let path = path.clone();
        move || std::fs::write(path, format!("{}\n", line("piped")))
    });
    assert_eq!(outcomes(vec![Source::file(&path)]), ["piped"]);
    writer.join().unwrap().unwrap();
}

/// The largest resident memory of this process so far, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_line_of_a_gigabyte_is_refused_in_bounded_memory() {
    const GIGABYTE: u64 = 1 << 30;
    let text = format!("{}\n", line("before"));
    let endless = io::repeat(b'{').take(GIGABYTE);
    let after = format!("\n{}", line("after"));
    let source = Source::reader("large", io::Cursor::new(text).chain(endless).chain(io::Cursor::new(after)));
    let before = peak_memory();
    let expected = ["before", "large:2: the line has 1073741824 bytes, 1000 are allowed", "after"];
    assert_eq!(outcomes(vec![source]), expected);
    let grown = peak_memory() - before;
    // Of the process, in which other tests run too; a line that was held would be a gigabyte.
    assert!(grown < 200_000_000, "{grown} bytes");
}

#[test]
fn records_are_read_instead_of_lines() {
    let text = format!("{{\"Records\":[{},[],{}", line("a"), line("b"));
    let end = text.len();
    let cut_off = format!("cannot read cut from record 4 on: the document is cut off: it ends after {end} bytes");
    let reader =
        Reader::open(vec![source("cut", text), source("none", "{}"), source("next", "{\"Records\":[7]}")], 1000)
            .unwrap()
            .with_records(RecordsPointer::new("/Records").unwrap());
    let show = |event: AuditEvent| event.user_id().unwrap_or("-").to_owned();
    let read: Vec<String> = reader.map(|read| read.map_or_else(|error| error.to_string(), show)).collect();
    let expected = [
        "a",
        "cut: record 2: not a JSON object",
        "b",
        &cut_off,
        "cannot read none from record 1 on: the document ends, and nothing is at \"/Records\", at byte 2",
        "next: record 1: not a JSON object",
    ];
    assert_eq!(read, expected);
}

#[test]
fn rejected_lines_are_kept_with_their_original_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected.ndjson");
    let mut file = RejectedFile::open(&path).unwrap();
    let original = r#"{"timestamp":"2026-01-01T00:00:00Z","event_type":"x\ty","severity":"worst"}"#;
    for read in Reader::open(vec![source("-", format!("{original}\n[1]\n"))], LINE_BYTES_MAX).unwrap() {
        let Err(InputError::Rejected(line)) = read else { panic!("{read:?}") };
        file.write(&line).unwrap();
    }
    let records: Vec<serde_json::Value> = read_lines(&path);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["text"], original);
    assert_eq!(records[0]["file"], "-");
    assert_eq!(records[0]["line"], 1);
    assert_eq!(records[1]["reason"], "not a JSON object");
}

fn read_lines(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
