//! Whatever stands in a configuration, reading it ends, takes memory in proportion to it, and says where it is wrong, or
//! that no line is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::path::Path;

use proptest::prelude::*;
use siem_forward::cli::read_configuration;

/// What one byte of a file may cost: the tree of it, its mistakes and how they are told.
const MEMORY_PER_BYTE: u64 = 400;
/// What any file may cost: a certificate's file of 8 MiB is the largest that one can name; and fifty mistakes are told,
/// each with up to 160 characters of its line.
const MEMORY: u64 = 1_000_000;

/// Reads it, and looks at what is said of it.
fn read(bytes: &[u8]) -> Result<(), String> {
    let mut read = Ok(());
    let memory = allocation_counter::measure(|| read = read_configuration(bytes)).bytes_max;
    let allowed = MEMORY + MEMORY_PER_BYTE * bytes.len() as u64;
    assert!(memory < allowed, "{memory} bytes for a file of {}", bytes.len());
    if let Err(told) = &read {
        let lines = String::from_utf8_lossy(bytes).lines().count().max(1);
        let mut heads = told.lines().filter(|line| line.starts_with("siem.toml")).peekable();
        assert!(heads.peek().is_some(), "{told}");
        for head in heads {
            assert_has_place(head, lines);
        }
        assert!(!told.chars().any(|char| char.is_control() && char != '\n'), "for a terminal: {told:?}");
        assert!(told.len() < 100_000, "{} bytes are told", told.len());
    }
    read
}

/// `siem.toml:LINE:COLUMN: …`, or `siem.toml: …` of the file as a whole.
fn assert_has_place(head: &str, lines: usize) {
    let rest = head.strip_prefix("siem.toml").unwrap();
    if rest.starts_with(": ") || rest.starts_with(" is larger than 256 KiB") {
        return;
    }
    let mut numbers = rest.strip_prefix(':').unwrap().splitn(3, ':');
    let (line, column) = (numbers.next().unwrap(), numbers.next().unwrap());
    let line: usize = line.parse().expect(head);
    // A mistake may stand behind the last line end.
    assert!((1..=lines + 1).contains(&line), "line {line} of {lines}: {head}");
    assert!(column.parse::<usize>().is_ok_and(|column| column > 0), "no column: {head}");
}

const EVERY_KEY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/config/every_key.toml"));

/// What mistakes are made of.
const PIECES: &[&str] = &[
    "=",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    ",",
    ".",
    "#",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "é",
    "\\",
    "\\u00",
    "-1",
    "1e999",
    "nan",
    "inf",
    "0x",
    "99999999999999999999",
    "true",
    "1979-05-27",
    "[[siem]]",
    "[siem.splunk]",
    "[a.b.c]",
    "env",
    "file",
    "path",
    "type",
    "siem",
    "token",
    "{ file = \"no.such\" }",
    "\u{1b}[31m",
    "\u{202e}",
    "a.a.a.a",
    "\"\" = 1",
    " ",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, usize),
    Delete(usize, usize),
    Repeat(usize, usize),
    Swap(usize, usize),
    Byte(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<usize>()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<usize>(), 0..40_usize).prop_map(|(at, length)| Change::Delete(at, length)),
        (any::<usize>(), 0..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Change::Swap(one, other)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for change in changes {
        let length = bytes.len();
        let span = |at: usize, wanted: usize| (at % (length + 1), (at % (length + 1) + wanted).min(length));
        match change {
            Change::Insert(at, piece) => {
                let at = at % (length + 1);
                drop(bytes.splice(at..at, PIECES[piece % PIECES.len()].bytes()));
            }
            Change::Delete(at, wanted) => {
                let (start, end) = span(*at, *wanted);
                drop(bytes.drain(start..end));
            }
            Change::Repeat(at, wanted) => {
                let (start, end) = span(*at, *wanted);
                let again = bytes[start..end].to_vec();
                drop(bytes.splice(end..end, again));
            }
            Change::Swap(one, other) if length > 0 => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let count = lines.len();
                lines.swap(one % count, other % count);
                bytes = lines.concat();
            }
            Change::Byte(at, byte) if length > 0 => bytes[at % length] = *byte,
            Change::Swap(..) | Change::Byte(..) => {}
        }
    }
    bytes
}

/// A value of any kind, in TOML.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
        any::<bool>().prop_map(|value| value.to_string()),
        "[ -~é]{0,20}".prop_map(|text| format!("\"{}\"", text.replace(['\\', '"'], "-"))),
        Just("1979-05-27T07:32:00Z".to_owned()),
        prop::sample::select(vec!["\"none\"", "\"gzip\"", "\"block\"", "\"splunk\"", "\"1 MB\"", "\"env\""])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec((key(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().enumerate().map(|(n, (key, value))| format!("{key}{n} = {value}")).collect();
                format!("{{ {} }}", members.join(", "))
            }),
        ]
    })
}

/// A key of ours, mostly.
fn key() -> impl Strategy<Value = String> {
    let ours: Vec<String> = EVERY_KEY.lines().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect();
    prop_oneof![4 => prop::sample::select(ours), 1 => "[a-zA-Z_-]{1,12}"]
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_are_told_why_not(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        drop(read(&bytes));
    }

    #[test]
    fn any_text_is_a_configuration_or_is_told_why_not(text in "(?s).{0,300}") {
        drop(read(text.as_bytes()));
    }

    #[test]
    fn a_good_configuration_that_was_changed_anywhere_is_told_where(changes in prop::collection::vec(change(), 1..8)) {
        drop(read(&changed(EVERY_KEY, &changes)));
    }

    #[test]
    fn any_value_of_any_key_is_right_or_is_told_where(keys in prop::collection::vec((key(), value()), 0..12)) {
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let text = format!("[siem.splunk]\n{}", lines.concat());
        drop(read(text.as_bytes()));
    }
}

/// What the fuzzer begins with, and whatever it has found that once went wrong.
#[test]
fn the_corpus_of_the_fuzzer_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/config");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        drop(read(&std::fs::read(entry.unwrap().path()).unwrap()));
        files += 1;
    }
    assert!(files >= 7, "{files}");
    // All that is wrong with this one is that nobody has set the variable.
    let told = read(EVERY_KEY.as_bytes()).unwrap_err();
    assert!(told.contains("SPLUNK_HEC_TOKEN is not set") && told.matches("siem.toml").count() == 1, "{told}");
}

/// As large as a file may be, and as bad: one more byte is not even looked at.
#[test]
fn the_largest_files_cost_no_more_than_is_said() {
    const BYTES_MAX: usize = 256 * 1024;
    for piece in [
        "[",
        "{a=",
        "a.",
        "x\n",
        "a=1\n",
        "[[a]]\n",
        "\"",
        "'''",
        "\n",
        "#",
        "\0",
        "é",
        "=",
        "a=\"\\u0",
        "[a.b.c.d.e.f]\n",
    ] {
        for begin in ["", "a = ", "[siem.splunk]\n", "a = \"\"\""] {
            // What it costs shows behind one beginning; the others must only not be a way around a limit.
            let bytes = if begin.is_empty() { BYTES_MAX } else { BYTES_MAX / 8 };
            let text = begin.to_owned() + &piece.repeat((bytes - begin.len()) / piece.len());
            drop(read(text.as_bytes()));
        }
    }
    let many = |bytes: usize, line: fn(usize) -> String| {
        let longest = line(99_999).len();
        format!("[siem.splunk]\n{}", (0..bytes / longest - 1).map(line).collect::<Vec<_>>().concat())
    };
    for text in [
        many(BYTES_MAX, |n| format!("key{n} = 1\n")),
        many(BYTES_MAX / 4, |n| format!("[table{n}]\n")),
        many(BYTES_MAX / 4, |n| format!("[siem.splunk.batch_size{n}]\na = 1\n")),
        many(BYTES_MAX / 4, |n| format!("[siem.name{n}]\n")),
    ] {
        assert!(read(text.as_bytes()).unwrap_err().contains("\nand "));
    }
    let told = read(&vec![b'#'; BYTES_MAX + 1]).unwrap_err();
    assert_eq!(told, "siem.toml is larger than 256 KiB: no configuration is, name another file");
    assert!(read(&vec![b'#'; BYTES_MAX]).unwrap_err().starts_with("siem.toml: siem: missing"));
}
