//! Any JSON object into an event: where each field comes from.
//!
//! `[input.map]` is read once into lists of choices; each record is parsed once, and all places are
//! found in one pass over its tape. What
//! would make an event untrue (no time, a time that is none) rejects the record; what an analyst can do without is left
//! out.

mod choice;
mod compact;
mod keys;
mod meanings;
mod places;
mod pointer;
mod read;
mod time;
mod value;

use ::serde::de::Error;
use memchr::memchr2;

use super::tape::{Item, Kind};
use super::walk::Reason;
use crate::event::{
    AuditEvent, DetailValue, EventBuilder, EventId, EventType, Field, TextBuffer, Timestamp, now, repeated,
};

use choice::Choice;
use compact::write_value;
pub(super) use places::Memory;
use places::{Found, Places};
use pointer::Pointer;
pub use read::InvalidInputMap;

/// Where the text of an id goes that is no UUID, as in our own layout.
const ORIGINAL_ID: &str = "original_id";

/// How records of any layout become events: what `[input.map]` says.
///
/// ```
/// use siem_forward::input::{InputMap, Reader, Source};
///
/// let map = InputMap::from_toml(
///     r#"
///     timestamp = { from = "/at", format = "seconds" }
///     event_type = { value = "request" }
///     severity = { from = "/verb", values = { delete = "high" }, default = "low" }
///     details = ""
///     "#,
/// )?;
/// let log = r#"{"at":1767614400,"verb":"delete"}"#;
/// let mut reader = Reader::open(vec![Source::reader("log", log.as_bytes())], 65_536)?.with_map(map);
/// let event = reader.next().unwrap()?;
/// assert_eq!(event.severity().name(), "high");
/// assert_eq!(event.details().as_deref(), Some(log));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputMap {
    id: Vec<Choice>,
    timestamp: Vec<Choice>,
    event_type: Vec<Choice>,
    severity: Vec<Choice>,
    texts: Vec<(Field, Vec<Choice>)>,
    details: Parts,
    /// Of all pointers above.
    places: Places,
}

/// What becomes the details.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    None,
    /// The object there; the whole record at the empty pointer.
    Object(Pointer),
    Named(Vec<(Box<str>, Vec<Choice>)>),
}

impl InputMap {
    /// The event of a record, in this buffer; `line` is what it was parsed from, where that is JSON of the same value.
    pub(super) fn event<N: Item>(
        &self,
        record: &[N],
        line: Option<&[u8]>,
        memory: &mut Memory,
        buffer: TextBuffer,
        absent_id: Option<EventId>,
    ) -> Result<AuditEvent, Reason> {
        let record = &self.places.find(record, memory)?;
        let timestamp = self.timestamp(record)?;
        // A word that is none gives none, so that the next choice is asked.
        let severity = self.severity.iter().find_map(|choice| choice.text(record)?.parse().ok());
        let severity = severity.ok_or_else(|| missing("severity", &self.severity))?;
        let mut names = self.event_type.iter().filter_map(|choice| choice.text(record));
        let name = names.find(|name| EventType::custom(name).is_ok());
        let name = name.ok_or_else(|| missing("event_type", &self.event_type))?;
        let event_type = EventType::custom(&name).map_err(Reason::custom)?;
        let mut builder = EventBuilder::begin((), buffer, event_type, severity, now()).timestamp(timestamp);
        if let Some(id) = absent_id {
            builder = builder.id(id);
        }
        let mut original_id = None;
        if let Some((id, foreign)) = self.id.iter().find_map(|choice| choice.id(record)) {
            builder = builder.id(id);
            original_id = foreign;
        }
        let mut event = builder.build();
        for (field, choices) in &self.texts {
            if let Some(text) = choices.iter().find_map(|choice| choice.text(record)) {
                event.text.push(*field, &text);
            }
        }
        self.push_details(record, line, original_id.as_deref(), &mut event.text)?;
        Ok(event)
    }

    /// Whether the details are the whole record.
    pub(super) fn keeps_all(&self) -> bool {
        matches!(&self.details, Parts::Object(pointer) if pointer.is_whole())
    }

    /// What is no time gives none, so that the next choice is asked.
    fn timestamp<N: Item>(&self, record: &Found<'_, N>) -> Result<Timestamp, Reason> {
        let (mut wrong, choices) = (None, &self.timestamp);
        for choice in choices {
            match choice.time(record) {
                Some(Ok(timestamp)) => return Ok(timestamp),
                Some(Err(reason)) => wrong = wrong.or(Some(reason)),
                None => {}
            }
        }
        match wrong {
            Some(reason) => Err(Reason(format!("timestamp: {reason}"))),
            None => Err(missing("timestamp", &self.timestamp)),
        }
    }

    fn push_details<N: Item>(
        &self,
        record: &Found<'_, N>,
        line: Option<&[u8]>,
        original_id: Option<&str>,
        text: &mut TextBuffer,
    ) -> Result<(), Reason> {
        if let Some(id) = original_id.filter(|_| !self.keeps_all()) {
            // It is the one key that the record did not bring.
            if self.brings(record, ORIGINAL_ID) {
                return Err(repeated(ORIGINAL_ID));
            }
            text.push_detail(ORIGINAL_ID, DetailValue::Text(id));
        }
        match &self.details {
            Parts::None => {}
            Parts::Object(pointer) => match record.get(pointer).map(|nodes| (nodes, nodes.first().map(Item::kind))) {
                None => {}
                Some((nodes, Some(Kind::Object { len, .. }))) => {
                    // What stands there already need not be written anew, but where it is more than a line: an event is one.
                    match line.filter(|line| pointer.is_whole() && memchr2(b'\n', b'\r', line.trim_ascii()).is_none()) {
                        Some(line) => text.push_details(line.trim_ascii()),
                        None => push_members(nodes, len, text),
                    }
                }
                Some((nodes, _)) => {
                    push_value(pointer.name(), nodes, text);
                }
            },
            Parts::Named(parts) => parts.iter().for_each(|(key, choices)| push_part(key, choices, record, text)),
        }
        Ok(())
    }

    /// Whether the details that are not the whole record have this key.
    fn brings<N: Item>(&self, record: &Found<'_, N>, key: &str) -> bool {
        match &self.details {
            Parts::None => false,
            Parts::Named(parts) => parts
                .iter()
                .any(|(name, choices)| **name == *key && choices.iter().any(|choice| choice.text(record).is_some())),
            Parts::Object(pointer) => record.get(pointer).is_some_and(|nodes| match nodes.first().map(Item::kind) {
                Some(Kind::Object { len, .. }) => has_key(nodes, len, key),
                _ => pointer.name() == key,
            }),
        }
    }

    /// All pointers, to be numbered.
    fn pointers_mut(&mut self) -> impl Iterator<Item = &mut Pointer> {
        let named = match &mut self.details {
            Parts::Named(parts) => parts.as_mut_slice(),
            Parts::None | Parts::Object(_) => &mut [],
        };
        let choices = [&mut self.id, &mut self.timestamp, &mut self.event_type, &mut self.severity];
        let texts = self.texts.iter_mut().map(|(_, choices)| choices);
        let choices = choices.into_iter().chain(texts).chain(named.iter_mut().map(|(_, choices)| choices));
        choices.flatten().flat_map(Choice::places_mut)
    }

    /// Numbers all places: before it is used.
    fn number_places(&mut self) {
        let mut places = Places::default();
        self.pointers_mut().for_each(|pointer| places.enter(pointer));
        if let Parts::Object(pointer) = &mut self.details {
            places.enter(pointer);
        }
        self.places = places;
    }
}

fn has_key<N: Item>(object: &[N], len: usize, key: &str) -> bool {
    let mut next = 1;
    (0..len).any(|_| {
        let is_it = matches!(object.get(next).map(Item::kind), Some(Kind::Text(text)) if text == key);
        next += 1 + object.get(next + 1).map_or(1, Item::size);
        is_it
    })
}

/// The members of an object as those of the details.
fn push_members<N: Item>(object: &[N], len: usize, text: &mut TextBuffer) {
    let mut next = 1;
    for _ in 0..len {
        let Some(Kind::Text(key)) = object.get(next).map(Item::kind) else { return };
        next += 1 + push_value(key, object.get(next + 1..).unwrap_or_default(), text);
    }
}

/// A text as it is, anything else as finished JSON; answers how many nodes it has.
fn push_value<N: Item>(key: &str, nodes: &[N], text: &mut TextBuffer) -> usize {
    if let Some(Kind::Text(value)) = nodes.first().map(Item::kind) {
        text.push_detail(key, DetailValue::Text(value));
        return 1;
    }
    let start = text.open_detail(key);
    let count = write_value(nodes, text.tail());
    text.close_record(start);
    count
}

/// Pushes what the first choice gives that gives anything. A value keeps its kind where it comes from a pointer.
fn push_part<N: Item>(key: &str, choices: &[Choice], record: &Found<'_, N>, text: &mut TextBuffer) {
    for choice in choices {
        if let Choice::Pointer(pointer) = choice {
            if let Some(nodes) = record.get(pointer) {
                push_value(key, nodes, text);
                return;
            }
        } else if let Some(value) = choice.text(record) {
            return text.push_detail(key, DetailValue::Text(&value));
        }
    }
}

/// That no choice gave a value, and where they looked.
#[cold]
fn missing(field: &str, choices: &[Choice]) -> Reason {
    let mut places: Vec<String> = Vec::new();
    for place in choices.iter().flat_map(Choice::places).map(ToString::to_string) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Reason(format!("{field} is missing: nothing that gives one at {}", places.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Severity;
    use crate::input::exact::exact_tape;

    const HEAD: &str = "timestamp = \"/t\"\nevent_type = { value = \"x\" }\nseverity = { value = \"low\" }\n";

    /// The event by either parser, which must agree.
    fn event(map: &str, record: &str) -> Result<AuditEvent, String> {
        let map = InputMap::from_toml(map).unwrap_or_else(|error| panic!("{error}"));
        let exact = map
            .event(&exact_tape(record).unwrap(), None, &mut Memory::default(), TextBuffer::with_capacity(64), None)
            .map_err(|reason| reason.0);
        let mut bytes = record.as_bytes().to_vec();
        let Ok(tape) = simd_json::to_tape(&mut bytes) else { return exact };
        let fast = map
            .event(&tape.0, Some(record.as_bytes()), &mut Memory::default(), TextBuffer::with_capacity(64), None)
            .map_err(|reason| reason.0);
        match (&fast, &exact) {
            (Ok(fast), Ok(exact)) => assert_eq!(shown(fast), shown(exact), "{record}"),
            _ => assert_eq!(fast.as_ref().err(), exact.as_ref().err(), "{record}"),
        }
        fast
    }

    fn shown(event: &AuditEvent) -> String {
        let texts = [event.user_id(), event.request_id()];
        format!("{} {} {} {texts:?} {:?}", event.timestamp(), event.event_type(), event.severity(), event.details())
    }

    fn with(lines: &str, members: &str) -> Result<AuditEvent, String> {
        let comma = if members.is_empty() { "" } else { "," };
        event(&format!("{HEAD}{lines}"), &format!(r#"{{"t":"2026-01-01T00:00:00Z"{comma}{members}}}"#))
    }

    fn user(form: &str, members: &str) -> Option<String> {
        with(&format!("user_id = {form}"), members).unwrap().user_id().map(str::to_owned)
    }

    #[test]
    fn the_first_place_wins_that_is_there_and_not_null() {
        for (form, members, expected) in [
            (r#""/a""#, r#""a":"x""#, Some("x")),
            (r#""/a""#, "", None),
            (r#"["/a","/b/0",{ value = "c" }]"#, r#""a":null,"b":["y"]"#, Some("y")),
            (r#"["/a","/b/0",{ value = "c" }]"#, r#""a":null,"b":[null]"#, Some("c")),
            (r#""/a""#, r#""a":17"#, Some("17")),
            (r#""/a""#, r#""a":1.5"#, Some("1.5")),
            (r#""/a""#, r#""a":true"#, Some("true")),
            (r#""/a""#, r#""a":[1, {"b": "\u00e9"}]"#, Some(r#"[1,{"b":"é"}]"#)),
            (r#""/a""#, r#""a":123456789012345678901234567890"#, Some("123456789012345678901234567890")),
            (r#"{ from = "/a", values = { x = "1" }, default = "2" }"#, r#""a":"x""#, Some("1")),
            (r#"{ from = ["/b","/a"], values = { true = "1", 7 = "3" }, default = "2" }"#, r#""a":7"#, Some("3")),
            (r#"{ from = "/a", values = { x = "1" }, default = "2" }"#, r#""a":{"x":1}"#, Some("2")),
            (r#"{ from = "/a", values = { x = "1" }, default = "2" }"#, "", Some("2")),
            (r#"{ from = "/a", values = { x = "1" } }"#, r#""a":"y""#, None),
            (r#"{ from = "/a", values = { x = "1" } }"#, r#""a":["y",["x"],"x"]"#, Some("1")),
        ] {
            assert_eq!(user(form, members).as_deref(), expected, "{form} {members}");
        }
    }

    #[test]
    fn times_are_read_in_their_format_and_a_wrong_one_rejects() {
        let time = |form: &str, value: &str| {
            let map = format!("timestamp = {form}\nevent_type = {{ value = \"x\" }}\nseverity = {{ value = \"low\" }}");
            event(&map, &format!("{{\"t\":{value}}}")).map(|event| event.timestamp().unix_nanos())
        };
        for (form, value) in [
            (r#""/t""#, r#""2026-01-05T13:00:00.5+01:00""#),
            (r#"{ from = "/t", format = "seconds" }"#, "1767614400.5"),
            (r#"{ from = "/t", format = "seconds" }"#, r#""1767614400.500:77""#),
            (r#"{ from = ["/none", "/t"], format = "milliseconds" }"#, "1767614400500"),
            (r#"{ from = "/t", format = "milliseconds" }"#, r#""1767614400500""#),
            (r#"[{ from = "/s" }, { from = "/t", format = "nanoseconds" }]"#, "1767614400500000000"),
        ] {
            assert_eq!(time(form, value), Ok(1_767_614_400_500_000_000), "{form} {value}");
        }
        let reason = time(r#""/t""#, r#""yesterday""#).unwrap_err();
        assert_eq!(reason, "timestamp: what is at /t is no time in RFC 3339 with an offset");
        let reason = time(r#"["/t", { from = "/a~1b", format = "seconds" }]"#, "null").unwrap_err();
        assert_eq!(reason, "timestamp is missing: nothing that gives one at /t, /a~1b");
    }

    #[test]
    fn a_word_that_is_no_severity_or_type_is_passed_over() {
        let map = |severity: &str, members: &str| {
            let map =
                format!("timestamp = \"/t\"\nevent_type = [\"/e\", {{ value = \"other\" }}]\nseverity = {severity}");
            event(&map, &format!(r#"{{"t":"2026-01-01T00:00:00Z",{members}}}"#))
        };
        let read = map(r#"["/s", { value = "medium" }]"#, r#""s":"WARN","e":"""#).unwrap();
        assert_eq!((read.severity(), read.event_type().name()), (Severity::Medium, "other"));
        let read = map(r#"["/s", { value = "medium" }]"#, r#""s":"high","e":"user_login""#).unwrap();
        assert_eq!((read.severity(), read.event_type()), (Severity::High, EventType::UserLogin));
        let reason = map(r#"["/s", { from = "/v", values = { a = "low" } }]"#, r#""s":"WARN","v":"b""#).unwrap_err();
        assert_eq!(reason, "severity is missing: nothing that gives one at /s, /v");
    }

    #[test]
    fn an_id_is_taken_or_hashed_and_never_hashed_without_its_first_part() {
        let id = |form: &str, members: &str| with(&format!("id = {form}"), members).unwrap();
        let uuid = "2dc1005f-0d6c-4d0d-8e0e-5f0f3c0f9b11";
        assert_eq!(id(r#""/a""#, &format!(r#""a":"{uuid}""#)).id().to_string(), uuid);
        let foreign = id(r#""/a""#, r#""a":"order-17""#);
        assert_eq!(foreign.details().as_deref(), Some(r#"{"original_id":"order-17"}"#));
        assert_eq!(foreign.id(), id(r#"["/b","/a"]"#, r#""a":"order-17","b":"""#).id());
        let of = |members: &str| id(r#"{ of = ["/a", "/b", "/c"] }"#, members).id();
        assert_eq!(of(r#""a":"x","b":"y""#), of(r#""b":"y","a":"x","c":null"#));
        let others = [r#""a":"x""#, r#""a":"x","c":"y""#, r#""a":"xy""#, r#""a":"x","b":"z""#];
        for other in others {
            assert_ne!(of(r#""a":"x","b":"y""#), of(other), "{other}");
        }
        assert_ne!(of(r#""b":"y""#), of(r#""b":"y""#), "without the first each gets its own");
    }

    #[test]
    fn details_are_the_whole_object_or_an_inner_one_or_named_parts() {
        let details =
            |form: &str, members: &str| with(&format!("details = {form}"), members).map(|event| event.details());
        let whole = r#"{"t":"2026-01-01T00:00:00Z","a":[1.0,-5,18446744073709551615,"\n",null,{"b":true}]}"#;
        let members = &whole[whole.find(",\"a\"").unwrap() + 1..whole.len() - 1];
        assert_eq!(details(r#""""#, members).unwrap().as_deref(), Some(whole));
        assert_eq!(details(r#""/o""#, r#""o":{"x":1e400}"#).unwrap().as_deref(), Some(r#"{"x":1e400}"#));
        assert_eq!(details(r#""/o""#, r#""o":[1]"#).unwrap().as_deref(), Some(r#"{"o":[1]}"#));
        assert_eq!(details(r#""/o""#, r#""o":null"#).unwrap(), None);
        let parts = r#"{ n = "/o/0", k = ["/none", { value = "c" }], none = "/none" }"#;
        assert_eq!(details(parts, r#""o":[{"x":1}]"#).unwrap().as_deref(), Some(r#"{"n":{"x":1},"k":"c"}"#));
    }

    #[test]
    fn a_repeated_key_or_too_deep_a_value_rejects_wherever_it_is() {
        let deep = format!("\"d\":{}{}", "[".repeat(64), "]".repeat(64));
        for details in ["", "details = \"\"", "details = \"/o\"", "details = { a = \"/a\" }"] {
            for repeated in [r#""a":1,"a":2"#, r#""o":{"x":{"a":1,"a":2}}"#, r#""a":1,"\u0061":2"#] {
                assert_eq!(with(details, repeated).unwrap_err(), "the key \"a\" is repeated", "{details} {repeated}");
            }
            assert_eq!(with(details, &deep).unwrap_err(), "details are nested deeper than 64", "{details}");
            assert!(with(details, &deep.replacen('[', "", 1).replacen(']', "", 1)).is_ok());
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = InputMap::from_toml(
            "timestamp = { from = \"/t\", format = \"millis\" }\nseverity = { from = \"/v\", values = { a = \"worst\" }, default = 1 }\n\
         user_id = \"name\"\nserver = \"/s\"\nid = { value = \"1\" }\ntool_name = [\"/a\", []]\ndetails = 7\n\
         decision = { from = \"/d\" }\nip_address = []\n",
        );
        let error = error.unwrap_err().to_string();
        for (line, key, what) in [
            (1, "timestamp.format", "unknown value"),
            (1, "event_type", "missing"),
            (2, "severity.values.a", "is not possible here"),
            (2, "severity.default", "is a whole number, must be a text"),
            (3, "user_id", "no JSON pointer"),
            (4, "server", "unknown key"),
            (5, "id", "gives no value here"),
            (6, "tool_name[1]", "is a list, must be a JSON pointer or a table"),
            (7, "details", "is a whole number, must be a JSON pointer or a table of parts"),
            (8, "decision", "has no `values`"),
            (9, "ip_address", "is empty"),
        ] {
            assert!(error.contains(what) && error.contains(key), "{line} {key} {what}: {error}");
        }
        assert!(error.contains("input.map:6"), "{error}");
    }
}
