//! One line of JSON into one event.

use serde::de::DeserializeSeed;
use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape, fill_tape_padded};

use super::InputMap;
use super::exact::exact_tape;
use super::map::Memory;
use super::tape::{Item, Kind};
use super::walk::Walk;
use crate::event::{AuditEvent, EventId, EventSeed, TextBuffer};

/// How deep a line may be nested before the parser gives up; the event's own limit for details lies below.
const DEPTH_MAX: usize = 128;

/// Why a line cannot become an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The line is longer than allowed.
    #[error("the line has {bytes} bytes, {bytes_max} are allowed")]
    TooLong {
        /// How many bytes it has.
        bytes: u64,
        /// How many are allowed.
        bytes_max: usize,
    },
    /// The event in the line is larger than `event_bytes_max`.
    #[error("the event has {bytes} bytes of text, more than event_bytes_max")]
    TooLarge {
        /// How many bytes of text it has.
        bytes: usize,
    },
    /// The line was read, but the program ended before there was room for it.
    #[error("read, but not accepted before the end; forward it again")]
    NotAccepted,
    /// Of several destinations some have the event, and others do not.
    #[error("not at {lacking}, but at the other destinations: {reason}")]
    NotEverywhere {
        /// Why not there.
        reason: Box<Self>,
        /// The names of those that lack it, with commas between them.
        lacking: String,
    },
    /// The line is no text.
    #[error("not UTF-8 from byte {byte} on")]
    NotUtf8 {
        /// The first byte that is wrong, from 1.
        byte: usize,
    },
    /// The line is no JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The line is JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// The object is no event: the key and what is wrong with it.
    #[error("{0}")]
    NotAnEvent(String),
}

/// A map, and its memory.
type Mapping<'m> = (&'m InputMap, &'m mut Memory);

/// Parses lines. It keeps its memory from one to the next.
pub(super) struct Parser {
    buffers: Buffers,
    /// `None` while it is filled: an empty one would be memory that is asked for with each line.
    tape: Option<Tape<'static>>,
    /// A copy of the line: parsing overwrites it, and a rejection shows the original.
    scratch: Vec<u8>,
    /// Where the fields of an event come from; a line is of our own layout without it.
    map: Option<InputMap>,
    /// The map's.
    memory: Memory,
    /// Of events that come without one; `None` gives them fresh ones.
    absent_id: Option<EventId>,
}

impl Parser {
    pub(super) fn new() -> Self {
        let buffers = Buffers::with_max_depth(1024, DEPTH_MAX);
        Self { buffers, tape: None, scratch: Vec::new(), map: None, memory: Memory::default(), absent_id: None }
    }

    /// Events that come without an id have this one.
    #[cfg(feature = "kafka")]
    pub(super) fn set_absent_id(&mut self, id: EventId) {
        self.absent_id = Some(id);
    }

    pub(super) fn set_map(&mut self, map: InputMap) {
        self.map = Some(map);
    }

    /// How much text an event of this line has, about, where it is more than usual.
    pub(super) fn text_bytes(&self, line: &[u8]) -> usize {
        match &self.map {
            // With the fields, which stand there a second time.
            Some(map) if map.keeps_all() => line.len() + line.len() / 2,
            _ => 0,
        }
    }

    /// Parses a line into an event that owns this buffer, which is lost where there is none.
    pub(super) fn parse(&mut self, line: &[u8], buffer: TextBuffer) -> Result<AuditEvent, Unreadable> {
        self.scratch.clear();
        self.scratch.extend_from_slice(line);
        self.scratch.resize(line.len() + INPUT_PADDING, b' ');
        let mut tape = self.tape.take().unwrap_or_else(Tape::null);
        let map = self.map.as_ref().map(|map| (map, &mut self.memory));
        let event = match fill_tape_padded(&mut self.scratch, line.len(), &mut self.buffers, &mut tape) {
            Ok(()) => Self::read(map, &tape.0, Some(line), buffer, self.absent_id),
            Err(error) => Self::parse_exactly(map, line, error.error(), buffer, self.absent_id),
        };
        self.tape = Some(tape.reset());
        event
    }

    fn read<N: Item>(
        map: Option<Mapping<'_>>,
        record: &[N],
        line: Option<&[u8]>,
        buffer: TextBuffer,
        absent_id: Option<EventId>,
    ) -> Result<AuditEvent, Unreadable> {
        if !matches!(record.first().map(Item::kind), Some(Kind::Object { .. })) {
            return Err(Unreadable::NotAnObject);
        }
        let event = match map {
            None => {
                let is_plain = line.is_some_and(is_plain);
                EventSeed { buffer, id: absent_id, is_plain }.deserialize(&mut Walk::new(record))
            }
            Some((map, memory)) => map.event(record, line, memory, buffer, absent_id),
        };
        event.map_err(|reason| Unreadable::NotAnEvent(reason.0))
    }

    /// Once more, where the fast parser refused a line: by the one that keeps numbers of any size, and knows where a
    /// mistake is.
    #[cold]
    fn parse_exactly(
        map: Option<Mapping<'_>>,
        line: &[u8],
        refused: &ErrorType,
        buffer: TextBuffer,
        absent_id: Option<EventId>,
    ) -> Result<AuditEvent, Unreadable> {
        if matches!(refused, ErrorType::DepthLimitExceeded) {
            return Err(Unreadable::NotAnEvent("nested too deep".to_owned()));
        }
        let text = std::str::from_utf8(line).map_err(|error| Unreadable::NotUtf8 { byte: error.valid_up_to() + 1 })?;
        // There is one line, and its number is ours to tell.
        let record = exact_tape(text)
            .map_err(|error| Unreadable::NotJson(error.to_string().replace(" at line 1 column ", " at byte ")))?;
        Self::read(map, &record, None, buffer, absent_id)
    }
}

/// Whether no text of this line, which is JSON, needs an escape where it is written again: a quote or a backslash stands there by
/// an escape alone, and a control character as it is no parser takes.
fn is_plain(line: &[u8]) -> bool {
    memchr::memchr(b'\\', line).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = r#""timestamp":"2026-01-01T00:00:00Z","event_type":"user_login","severity":"low""#;

    fn parse(line: &str) -> Result<AuditEvent, Unreadable> {
        Parser::new().parse(line.as_bytes(), TextBuffer::with_capacity(64))
    }

    fn reason(line: &[u8]) -> String {
        Parser::new().parse(line, TextBuffer::with_capacity(64)).unwrap_err().to_string()
    }

    #[test]
    fn each_reason_says_what_is_wrong() {
        for (line, expected) in [
            (&b"{\"a\":\"\xff\"}"[..], "not UTF-8 from byte 7 on"),
            (b"[1,2]", "not a JSON object"),
            (b"\"text\"", "not a JSON object"),
            (b"17", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"hello", "not JSON: expected value at byte 1"),
            (b"{\"a\":1", "not JSON: EOF while parsing an object at byte 6"),
            (b"{\"a\" 1}", "not JSON: expected `:` at byte 6"),
            (b"{\"a\":01}", "not JSON: invalid number at byte 7"),
            (b"{\"a\":\"\x01\"}", "not JSON: control character"),
            (b"{\"a\":\"\\ud80x\"}", "not JSON: invalid escape"),
            (b"{\"a\":1,}", "not JSON: key must be a string at byte 8"),
            (b"{\"severity\":\"worst\"}", "severity: unknown severity: it is low, medium, high or critical"),
            (b"{\"a\":1,\"a\":1}", "the key \"a\" is repeated"),
            (b"{}", "timestamp is missing"),
        ] {
            let reason = reason(line);
            assert!(reason.starts_with(expected), "{}: {reason}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_follows_the_object_is_an_error() {
        assert!(parse(&format!("{{{HEAD}}}")).is_ok());
        assert!(parse(&format!(" {{{HEAD}}} \t\r")).is_ok());
        for trailing in ["x", "{}", ",", "}", " null", "\0", "\"", "\u{a0}"] {
            let reason = parse(&format!("{{{HEAD}}}{trailing}")).unwrap_err().to_string();
            assert!(reason.starts_with("not JSON: trailing characters at byte "), "{trailing:?}: {reason}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_kept_as_written_and_half_a_surrogate_pair_is_replaced() {
        for (value, kept) in [
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("[1e400,-1E+999,1.50]", "[1e400,-1E+999,1.50]"),
            (r#""\ud800x""#, "\"\u{fffd}x\""),
            (r#"{"\udfff":["\ud83d\ude00"]}"#, "{\"\u{fffd}\":[\"😀\"]}"),
        ] {
            let event = parse(&format!("{{{HEAD},\"details\":{{\"n\":{value}}},\"m\":{value}}}")).unwrap();
            assert_eq!(event.details().unwrap(), format!("{{\"n\":{kept},\"m\":{kept}}}"));
        }
        let event = parse(&format!("{{{HEAD},\"user_id\":1e400}}")).unwrap();
        assert_eq!(event.user_id(), Some("1e400"));
        for repeated in [r#""\ud800":1,"\udc00":2"#, r#""a":1e999,"a":2"#, r#""o":{"a":1e999,"a":2}"#] {
            let reason = parse(&format!("{{{HEAD},{repeated}}}")).unwrap_err().to_string();
            assert!(reason.ends_with("is repeated"), "{repeated}: {reason}");
        }
    }

    #[test]
    fn a_control_character_as_it_is_is_no_json_wherever_it_stands() {
        let mut parser = Parser::new();
        for length in 0..130 {
            for (at, byte) in (0..=length).flat_map(|at| [0, 1, b'\t', b'\n', 0x1f].map(|byte| (at, byte))) {
                let mut text = vec![b'a'; length];
                text.insert(at, byte);
                let text = String::from_utf8(text).unwrap();
                for member in [format!("\"user_id\":\"{text}\""), format!("\"{text}\":1")] {
                    let line = format!("{{{HEAD},{member}}}");
                    assert!(parser.parse(line.as_bytes(), TextBuffer::with_capacity(64)).is_err(), "{line:?}");
                }
            }
        }
    }

    proptest! {
        /// Whose texts are looked at one by one: serde_json says nothing of a line.
        #[test]
        fn an_event_is_written_as_one_whose_texts_are_looked_at(
            text in r#"([a-z /]|\\[nt"\\/]|\\u00[0-9a-f]{2}|\\ud83d\\ude00|\x7f|\u{e9}|\u{2028}){0,20}"#,
            plain in "[a-z\u{e9}\u{7f}\u{2028}/]{0,80}",
            is_plain: bool,
        ) {
            let text = if is_plain { plain } else { text };
            let id = r#""id":"01980000-0000-7000-8000-000000000001""#;
            let line = format!(
                r#"{{{HEAD},{id},"user_id":"{text}","k{text}":1,"details":{{"d{text}":"{text}","l":["{text}",{{"{text}":null}}]}}}}"#
            );
            let read = Parser::new().parse(line.as_bytes(), TextBuffer::with_capacity(64));
            let exact = serde_json::from_str::<AuditEvent>(&line);
            let (Ok(read), Ok(exact)) = (read, exact) else { panic!("{line}") };
            prop_assert_eq!(read.is_plain, !line.contains('\\'));
            prop_assert!(!exact.is_plain);
            let written = [&read, &exact].map(|event| {
                let mut out = Vec::new();
                crate::format::json::write(event, &mut out);
                String::from_utf8(out).unwrap()
            });
            prop_assert_eq!(&written[0], &written[1], "{}", line);
        }
    }

    #[test]
    fn what_is_nearly_json_is_none() {
        let values = [
            "-",
            "01",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "1.5.5",
            "tru",
            "truex",
            "nul",
            "nullnull",
            "NaN",
            "",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "[1]]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{1:1}",
            "{\"a\",1}",
            "{\"a\":1]",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u00g9\"",
            "\"\\u00\"",
            "\"\\u+123\"",
            "1 2",
            "\u{a0}1",
        ];
        for value in values {
            assert!(parse(&format!("{{{HEAD},\"n\":{value}}}")).is_err(), "{value}");
        }
        for value in [
            "0",
            "-0",
            "1E5",
            "1e-400",
            "0.0e+00",
            " [ 1 ,\t2 ] ",
            "{\"a\" : {} , \"b\":[]}",
            "\"\u{7f}\"",
            "\"\\u00E9\\/\"",
        ] {
            assert!(parse(&format!("{{{HEAD},\"n\":{value}}}")).is_ok(), "{value}");
        }
    }

    #[test]
    fn deep_lines_are_an_error_and_not_a_crash() {
        for depth in [60, 100, 200, 2000, 200_000] {
            let line = format!("{{{HEAD},\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(parse(&line).is_ok(), depth < 64, "{depth}");
            assert!(parse(&"[".repeat(depth)).is_err());
            assert!(parse(&"{\"a\":".repeat(depth)).is_err());
        }
    }

    #[test]
    fn a_rejected_line_does_not_spoil_the_next() {
        let mut parser = Parser::new();
        let good = format!("{{{HEAD},\"user_id\":\"u\\n1\"}}");
        for bad in ["{", "[]", "{\"severity\":1}", "\u{0}"] {
            assert!(parser.parse(bad.as_bytes(), TextBuffer::with_capacity(64)).is_err());
            let event = parser.parse(good.as_bytes(), TextBuffer::with_capacity(64)).unwrap();
            assert_eq!(event.user_id(), Some("u\n1"));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_are_no_event(line in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Parser::new().parse(&line, TextBuffer::with_capacity(64)).is_err());
        }

        #[test]
        fn a_damaged_line_kept_as_a_whole_is_json_of_the_same_value(at in 0usize..200, byte: u8) {
            let map = "timestamp = \"/t\"\nevent_type = { value = \"x\" }\nseverity = { value = \"low\" }\ndetails = \"\"";
            let mut parser = Parser::new();
            parser.set_map(InputMap::from_toml(map).unwrap());
            let line = "{\"t\":\"2026-01-01T00:00:00Z\",\"u\":\"ü\\n\",\"a\":[1.5,-7,10,true,null,{}],\"o\":{\"k\":\"a b\"}}";
            let mut line = line.as_bytes().to_vec();
            let at = at % line.len();
            line[at] = byte;
            let Ok(event) = parser.parse(&line, TextBuffer::with_capacity(64)) else { return Ok(()) };
            let kept: serde_json::Value = serde_json::from_str(&event.details().unwrap()).unwrap();
            prop_assert_eq!(kept, serde_json::from_slice::<serde_json::Value>(&line).unwrap());
            prop_assert_eq!(serde_json::to_string(&event).unwrap().matches("\"details\":{\"").count(), 1);
        }

        #[test]
        fn damaged_lines_are_read_as_serde_json_reads_them(at in 0usize..200, byte: u8) {
            let mut line = format!("{{{HEAD},\"user_id\":\"ü\\n\",\"details\":{{\"n\":[1.5,true,null,{{}}]}}}}").into_bytes();
            let at = at % line.len();
            line[at] = byte;
            let read = Parser::new().parse(&line, TextBuffer::with_capacity(64));
            let other = serde_json::from_slice::<AuditEvent>(&line);
            prop_assert_eq!(read.is_ok(), other.is_ok(), "{:?} {:?}", read, other);
            if let (Ok(read), Ok(other)) = (read, other) {
                prop_assert_eq!(read.details(), other.details());
                prop_assert_eq!(read.user_id(), other.user_id());
            }
        }
    }
}
