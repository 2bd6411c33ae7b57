//! Records out of documents: each element of the one array that a JSON pointer names, as it is written.
//!
//! Follows the skeleton of a document byte by byte and holds no more of it than the element that is open: everything on
//! the way to the array is passed by. What an element looks like inside is for the parser to judge; here it only has to
//! end. Documents may follow one another, with white space between them or without.

use std::io;

use super::RecordsPointer;
use super::pieces::{Blocks, Found, Piece, Pieces};
use super::skeleton::{Extent, Skeleton, Step};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes blocks apart into records.
#[derive(Debug)]
pub(super) struct Records {
    pieces: Pieces,
    skeleton: Skeleton,
    number: u64,
    /// Of the byte order mark that a source may begin with, so many bytes are still possible.
    mark: usize,
    ended: bool,
}

impl Records {
    pub(super) fn new(pointer: RecordsPointer, record_bytes_max: usize) -> Self {
        Self {
            pieces: Pieces::new(record_bytes_max),
            skeleton: Skeleton::new(pointer),
            number: 0,
            mark: BYTE_ORDER_MARK.len(),
            ended: false,
        }
    }

    /// Begins another source: its records count from 1.
    pub(super) fn restart(&mut self) {
        self.pieces.restart();
        self.skeleton.restart();
        self.number = 0;
        self.mark = BYTE_ORDER_MARK.len();
        self.ended = false;
    }

    /// The number of the record handed out last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.pieces.bytes_read()
    }

    /// The next record, with its number from 1; `None` at the end. After an error nothing more comes.
    pub(super) fn next(&mut self, blocks: &mut dyn Blocks) -> io::Result<Option<(u64, Piece<'_>)>> {
        let found = self.find(blocks);
        self.ended |= !matches!(found, Ok(Some(_)));
        let Some(found) = found? else { return Ok(None) };
        Ok(Some((self.number, self.pieces.piece(&found))))
    }

    fn find(&mut self, blocks: &mut dyn Blocks) -> io::Result<Option<Found>> {
        self.pieces.begin();
        while !self.ended {
            if self.pieces.unscanned().is_empty() {
                let goes_on = self.pieces.next_block(blocks)?;
                if !goes_on {
                    return self.end();
                }
                self.skip_mark();
                continue;
            }
            let Step { bytes, extent } = self.skeleton.step(self.pieces.unscanned());
            match extent {
                Ok(Extent::Outside) => self.pieces.skip(bytes),
                Ok(Extent::Record) => self.pieces.keep(bytes),
                Ok(Extent::EndOfRecord) => {
                    self.pieces.keep(bytes);
                    self.number += 1;
                    return Ok(Some(self.pieces.take()));
                }
                Err(what) => {
                    let at = self.pieces.position() + bytes as u64 + 1;
                    self.pieces.forget();
                    return Err(malformed(&format!("{what} at byte {at}")));
                }
            }
        }
        Ok(None)
    }

    /// The source has ended: is that where it may?
    fn end(&mut self) -> io::Result<Option<Found>> {
        let end = self.pieces.position();
        let result = self.skeleton.end();
        self.pieces.forget();
        result.map(|()| None).map_err(|what| malformed(&format!("{what} after {end} bytes")))
    }

    /// Skips what the source begins with of the mark.
    fn skip_mark(&mut self) {
        while self.mark > 0 {
            let Some(next) = self.pieces.unscanned().first() else { return };
            let expected = BYTE_ORDER_MARK.get(BYTE_ORDER_MARK.len() - self.mark);
            if Some(next) != expected {
                self.mark = 0;
                return;
            }
            self.mark -= 1;
            self.pieces.skip(1);
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::pieces::Cut;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The records and, where one comes, the error.
    fn read_in(sizes: &[usize], pointer: &str, input: &[u8], record_bytes_max: usize) -> (Vec<String>, Option<String>) {
        let mut records = Records::new(RecordsPointer::new(pointer).unwrap(), record_bytes_max);
        let mut blocks = Cut::new(input, sizes);
        let mut all = Vec::new();
        loop {
            match records.next(&mut blocks) {
                Ok(None) => return (all, None),
                Err(error) => {
                    assert!(records.next(&mut blocks).unwrap().is_none(), "after an error nothing more comes");
                    return (all, Some(error.to_string()));
                }
                Ok(Some((number, piece))) => {
                    all.push(match piece {
                        Piece::Whole(text) => String::from_utf8_lossy(text).into_owned(),
                        Piece::TooLong { head, bytes } => format!("{}… of {bytes}", String::from_utf8_lossy(head)),
                    });
                    assert_eq!(number, all.len() as u64);
                }
            }
        }
    }

    /// The same however the blocks are cut.
    fn read(pointer: &str, input: &str) -> (Vec<String>, Option<String>) {
        let whole = read_in(&[1_000_000], pointer, input.as_bytes(), 1_000);
        for sizes in [&[1][..], &[2, 3], &[7]] {
            assert_eq!(read_in(sizes, pointer, input.as_bytes(), 1_000), whole, "{input}");
        }
        whole
    }

    fn all(records: &[&str]) -> (Vec<String>, Option<String>) {
        (records.iter().map(|record| (*record).to_owned()).collect(), None)
    }

    #[test]
    fn each_element_of_the_array_is_a_record_wherever_it_is() {
        let three = r#"{"a":"]}\"\\"},[[1],{}], 5 "#;
        let expected = all(&[r#"{"a":"]}\"\\"}"#, "[[1],{}]", "5"]);
        for (pointer, document) in [
            ("", format!("[{three}]")),
            ("", format!("\u{feff} [ {three} ] \r\n")),
            ("/Records", format!("{{\"Records\":[{three}]}}")),
            (
                "/Records",
                format!(
                    r#"{{"x":{{"Records":[7]}}, "y" : [{{"Records":[8]}}],"\u0052ecords" : [ {three}],"z":-1.5e3}}"#
                ),
            ),
            ("/Records", format!(r#"{{"Records":[{three}],"text":"Records","more":null}}"#)),
            ("/a~1b/1/~0", format!(r#"{{"a":{{}},"a/b":[{{"~":[1]}},{{"~":[{three}]}},{{"~":[2]}}]}}"#)),
            ("/0", format!("[[{three}],[6]]")),
        ] {
            assert_eq!(read(pointer, &document), expected, "{pointer} {document}");
        }
        assert_eq!(read("/Records", r#"{"Records":[]}"#), all(&[]));
        assert_eq!(read("/Records", ""), all(&[]));
        assert_eq!(read("/Records", "\u{feff}\n"), all(&[]));
    }

    #[test]
    fn documents_may_follow_one_another() {
        let document = |number: u32| format!("{{\"Records\":[{number},{{}}]}}");
        let expected = all(&["1", "{}", "2", "{}", "3", "{}"]);
        for between in ["", "\n", " \r\n\t"] {
            assert_eq!(read("/Records", &[1, 2, 3].map(document).join(between)), expected);
        }
    }

    #[test]
    fn what_is_malformed_is_an_error_with_its_place_behind_the_records_before_it() {
        let long = format!("{{\"Records\":[1,{}", "[".repeat(500));
        for (document, records, expected) in [
            (r#"{"Records":[1,{"a":2},"#, 2, "the document is cut off: it ends after 22 bytes"),
            (r#"{"Records":[1,{"a":"#, 1, "the document is cut off: it ends after 19 bytes"),
            (r#"{"Records":[1]"#, 1, "the document is cut off: it ends after 14 bytes"),
            (r#"{"Rec"#, 0, "the document is cut off: it ends after 5 bytes"),
            (&long, 1, "the document is cut off: it ends after 514 bytes"),
            (r#"{"records":[1]}"#, 0, "the document ends, and nothing is at \"/Records\", at byte 15"),
            ("5", 0, "the document ends, and nothing is at \"/Records\", after 1 bytes"),
            ("[]", 0, "the document ends, and nothing is at \"/Records\", at byte 2"),
            (r#"{"Records":{"a":1}}"#, 0, "what is at \"/Records\" is not an array at byte 12"),
            (r#"{"Records":null}"#, 0, "what is at \"/Records\" is not an array at byte 12"),
            (r#"{"Records":[1 2]}"#, 1, "`,` or `]` is expected at byte 15"),
            (r#"{"Records":[1,]}"#, 1, "a value is expected at byte 15"),
            (r#"{"Records":[,1]}"#, 0, "a value is expected at byte 13"),
            (r#"{"Records":[1}"#, 1, "`,` or `]` is expected at byte 14"),
            (r#"{"Records":[{"a":[1}]}"#, 0, "a bracket does not fit the one that it closes at byte 20"),
            (r#"{"Records":[1],}"#, 1, "a key is expected at byte 16"),
            (r#"{"Records" [1]}"#, 0, "`:` is expected at byte 12"),
            (r#"{"Records":[1]}}"#, 1, "a value is expected at byte 16"),
            (r#"{"Records":[1]} x"#, 1, "a value is expected at byte 17"),
            (r#"{"Records":[1],"Records":[2]}"#, 1, "the key \"Records\" is repeated at byte 25"),
            (r#"{"Records":[1]}{"a":1}"#, 1, "the document ends, and nothing is at \"/Records\", at byte 22"),
        ] {
            let (before, error) = read("/Records", document);
            assert_eq!((before.len(), error.as_deref()), (records, Some(expected)), "{document}");
        }
    }

    #[test]
    fn a_record_of_any_length_or_depth_is_skipped_in_bounded_memory() {
        let deep = format!("{}{}", "[".repeat(300_000), "]".repeat(300_000));
        let input = format!("{{\"Records\":[1,\"{}\",{deep},2]}}", "x".repeat(600_000));
        let (records, error) = read_in(&[100_000, 7], "/Records", input.as_bytes(), 1_000);
        assert_eq!(error, None);
        assert_eq!((records[0].as_str(), records[3].as_str()), ("1", "2"));
        assert!(records[1].ends_with("x… of 600002") && records[1].len() < 66_000);
        assert!(records[2].ends_with("[… of 600000") && records[2].len() < 66_000);
        let records = read_in(&[3], "", b"[12345,123456]", 5).0;
        assert_eq!(records, ["12345", "123456… of 6"]);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\\\\\"\\[\\]{},:]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\\\\\"]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_gives_its_elements_however_it_is_cut(
            documents in prop::collection::vec(
                (prop::collection::vec(value(), 0..5), value(), any::<bool>(), any::<bool>()), 0..4),
            sizes in prop::collection::vec(1usize..20, 1..5),
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (records, beside, is_pretty, is_first) in documents {
                expected.extend(records.iter().cloned());
                let (before, after) = if is_first { ("z", "y") } else { ("A", "B") };
                let document = serde_json::json!({ before: beside, "Records": records, after: beside });
                let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
                text.push_str(&write(&document).unwrap());
            }
            let (read, error) = read_in(&sizes, "/Records", text.as_bytes(), 1_000_000);
            prop_assert_eq!(error, None);
            let read: Vec<Value> = read.iter().map(|record| serde_json::from_str(record).unwrap()).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_damaged_document_never_panics_and_is_the_same_however_it_is_cut(
            at in 0usize..1000, byte in prop::sample::select(b"{}[]\",:\\x0 \n\xff".to_vec()), remove: bool,
            sizes in prop::collection::vec(1usize..9, 1..5),
        ) {
            let mut text = br#"{"a":[{"b":"\\"}],"Records":[{"c":"\"]"},[],1.5,"x",null],"d":{}} {"Records":[7]}"#.to_vec();
            let at = at % text.len();
            if remove { text.remove(at); } else { text[at] = byte; }
            prop_assert_eq!(read_in(&sizes, "/Records", &text, 100), read_in(&[1_000], "/Records", &text, 100));
        }
    }
}
