//! The walk through a request's body: one envelope after the other, without building or keeping anything.
//!
//! A body is JSON objects one behind the other, with any or no white space between them. For each the walk tells where it
//! ends, what Splunk would object to, and the event's id. What is JSON is decided by [`super::json`]; what an envelope may
//! hold is Splunk's: `event`, `time`, `host`, `source`, `sourcetype`, `index`, `fields` and nothing else.
//!
//! Called by [`super::collector`] for every body: this is the receiver's hot path.

use super::ids::id_of;
use super::json::{LEVELS_MAX, Malformed, Scanner, Text, Value};

/// What Splunk makes of an envelope that is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Index,
    /// `fields` without `event`: answered with success, and not indexed.
    Skip,
    /// An unknown key: this object and all behind it are not indexed, mostly without a word.
    UnknownKey,
    /// Refused with this code.
    Refuse(u16),
}

/// One envelope, as far as anybody needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Where its object starts and ends in the body.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) judgement: Judgement,
    /// From `fields.event_id`, else from `event.id`.
    pub(super) id: Option<u128>,
}

/// The envelopes of a body, up to the first that is no JSON object.
#[derive(Debug)]
pub(super) struct Envelopes<'a> {
    scanner: Scanner<'a>,
    ended: bool,
}

impl<'a> Envelopes<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { scanner: Scanner::new(body), ended: false }
    }

    fn envelope(&mut self) -> Result<Envelope, Malformed> {
        let start = self.scanner.position();
        if !self.scanner.eat(b'{') {
            return Err(Malformed);
        }
        let mut seen = Seen::default();
        self.scanner.members(|scanner, key| seen.member(scanner, key))?;
        Ok(Envelope { start, end: self.scanner.position(), judgement: seen.judgement(), id: seen.id() })
    }
}

impl Iterator for Envelopes<'_> {
    type Item = Result<Envelope, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.scanner.peek().is_none() {
            self.ended = true;
            return None;
        }
        let envelope = self.envelope();
        self.ended = envelope.is_err();
        Some(envelope)
    }
}

/// What was seen of the envelope at hand. A repeated key overwrites, as everywhere in JSON.
#[derive(Debug, Default)]
struct Seen<'a> {
    event: Event,
    fields: Fields,
    time_refused: bool,
    metadata_refused: bool,
    unknown_key: bool,
    event_id: Option<Text<'a>>,
    fields_id: Option<Text<'a>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Event {
    #[default]
    Absent,
    /// `null`, `true` and `false` are no events.
    Refused,
    Blank,
    Present,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fields {
    #[default]
    Absent,
    Flat,
    Nested,
}

impl<'a> Seen<'a> {
    fn member(&mut self, scanner: &mut Scanner<'a>, key: Text<'a>) -> Result<(), Malformed> {
        if key.is(b"event") {
            self.event(scanner)
        } else if key.is(b"fields") {
            self.fields(scanner)
        } else if key.is(b"time") {
            self.time_refused = !is_time(scanner.value(LEVELS_MAX - 1)?);
            Ok(())
        } else if [&b"host"[..], b"source", b"sourcetype", b"index"].iter().any(|known| key.is(known)) {
            self.metadata_refused |= scanner.peek() != Some(b'"');
            scanner.pass(LEVELS_MAX - 1)
        } else {
            self.unknown_key = true;
            scanner.pass(LEVELS_MAX - 1)
        }
    }

    fn event(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.event_id = None;
        if scanner.eat(b'{') {
            self.event = Event::Present;
            let id = &mut self.event_id;
            return scanner.members(|scanner, key| {
                if !key.is(b"id") {
                    return scanner.pass(LEVELS_MAX - 2);
                }
                *id = scanner.value(LEVELS_MAX - 2)?.text();
                Ok(())
            });
        }
        self.event = match scanner.value(LEVELS_MAX - 1)? {
            Value::Null | Value::Bool => Event::Refused,
            Value::String(text) if text.decoded().trim_ascii().is_empty() => Event::Blank,
            _ => Event::Present,
        };
        Ok(())
    }

    fn fields(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        self.fields_id = None;
        if !scanner.eat(b'{') {
            self.fields = Fields::Nested;
            return scanner.pass(LEVELS_MAX - 1);
        }
        let mut flat = true;
        let id = &mut self.fields_id;
        scanner.members(|scanner, key| {
            let is_id = key.is(b"event_id");
            if scanner.eat(b'[') {
                return scanner.elements(|scanner| {
                    flat &= is_scalar(scanner.value(LEVELS_MAX - 3)?);
                    Ok(())
                });
            }
            let value = scanner.value(LEVELS_MAX - 2)?;
            flat &= is_scalar(value);
            if is_id {
                *id = value.text();
            }
            Ok(())
        })?;
        self.fields = if flat { Fields::Flat } else { Fields::Nested };
        Ok(())
    }

    fn id(&self) -> Option<u128> {
        self.fields_id.or(self.event_id).map(|text| id_of(text.decoded().as_ref()))
    }

    fn judgement(&self) -> Judgement {
        if self.unknown_key {
            return Judgement::UnknownKey;
        }
        if self.metadata_refused {
            return Judgement::Refuse(6);
        }
        match (self.event, self.fields) {
            (Event::Refused, _) => Judgement::Refuse(6),
            (Event::Blank, _) => Judgement::Refuse(13),
            (Event::Absent, Fields::Absent) => Judgement::Refuse(12),
            (Event::Absent | Event::Present, Fields::Nested) => Judgement::Refuse(15),
            _ if self.time_refused => Judgement::Refuse(15),
            (Event::Absent, Fields::Flat) => Judgement::Skip,
            (Event::Present, Fields::Absent | Fields::Flat) => Judgement::Index,
        }
    }
}

/// What may stand in `fields`: Splunk wants strings and tolerates numbers; senders in the field write booleans too.
fn is_scalar(value: Value<'_>) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool)
}

/// Seconds in plain decimal notation, as a number or as a string: an exponent is what Splunk refuses.
fn is_time(value: Value<'_>) -> bool {
    let plain = |digits: &[u8]| {
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        let point = unsigned.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(unsigned.len());
        let (whole, rest) = unsigned.split_at_checked(point).unwrap_or_default();
        let fraction = rest.strip_prefix(b".");
        let decimal = rest.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
        !whole.is_empty() && decimal && fraction.unwrap_or_default().iter().all(u8::is_ascii_digit)
    };
    match value {
        Value::Number(digits) => plain(digits),
        Value::String(text) => plain(text.decoded().as_ref()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    fn judged(envelope: &str) -> Judgement {
        Envelopes::new(envelope.as_bytes()).next().unwrap().unwrap().judgement
    }

    fn id(envelope: &str) -> Option<u128> {
        Envelopes::new(envelope.as_bytes()).next().unwrap().unwrap().id
    }

    #[test]
    fn envelopes_are_judged_as_splunk_judges_them() {
        let cases = [
            (r#"{"event":"x"}"#, Judgement::Index),
            (r#"{"event":{}}"#, Judgement::Index),
            (r#"{"event":[]}"#, Judgement::Index),
            (r#"{"event":0}"#, Judgement::Index),
            (r#"{"\u0065vent":0}"#, Judgement::Index),
            (r#"{"event":null}"#, Judgement::Refuse(6)),
            (r#"{"event":false}"#, Judgement::Refuse(6)),
            (r#"{"event":""}"#, Judgement::Refuse(13)),
            (r#"{"event":" \n\u0020"}"#, Judgement::Refuse(13)),
            (r#"{"event":" x "}"#, Judgement::Index),
            (r"{}", Judgement::Refuse(12)),
            (r#"{"host":"a"}"#, Judgement::Refuse(12)),
            (r#"{"fields":{"a":"b"}}"#, Judgement::Skip),
            (r#"{"event":1,"host":"a","source":"b","sourcetype":"c","index":"d","time":1}"#, Judgement::Index),
            (r#"{"event":1,"index":7}"#, Judgement::Refuse(6)),
            (r#"{"event":1,"hostname":"a"}"#, Judgement::UnknownKey),
            (r#"{"event":null,"Event":1}"#, Judgement::UnknownKey),
            (r#"{"event":1,"fields":{"a":"b","c":["d",1],"e":1.5,"f":true}}"#, Judgement::Index),
            (r#"{"event":1,"fields":{"a":{}}}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"fields":{"a":[[]]}}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"fields":{"a":null}}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"fields":"a"}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":1763958400.123}"#, Judgement::Index),
            (r#"{"event":1,"time":"1763958400.123"}"#, Judgement::Index),
            (r#"{"event":1,"time":1.79e9}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":"1.79e9"}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":"yesterday"}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":"1.2.3"}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":""}"#, Judgement::Refuse(15)),
            (r#"{"event":1,"time":null}"#, Judgement::Refuse(15)),
        ];
        for (envelope, expected) in cases {
            assert_eq!(judged(envelope), expected, "{envelope}");
        }
    }

    #[test]
    fn the_id_is_the_fields_or_the_events() {
        let one = "00000000-0000-0000-0000-000000000001";
        let two = "00000000-0000-0000-0000-000000000002";
        assert_eq!(id(&format!(r#"{{"event":{{"id":"{one}"}}}}"#)), Some(1));
        assert_eq!(id(&format!(r#"{{"fields":{{"event_id":"{two}"}},"event":{{"id":"{one}"}}}}"#)), Some(2));
        assert_eq!(id(&format!(r#"{{"event":{{"\u0069d":"{one}"}}}}"#)), Some(1));
        assert_eq!(
            id(&format!(r#"{{"event":{{"details":{{"id":"{one}"}}}}}}"#)),
            None,
            "only the event's own id counts"
        );
        assert_eq!(id(r#"{"event":{"id":7}}"#), None);
        assert_eq!(id(r#"{"event":"text"}"#), None);
        assert_eq!(id(r#"{"event":{"id":"order-1"}}"#), Some(id_of(b"order-1")));
    }

    #[test]
    fn bytes_that_are_not_utf8_break_the_object_they_stand_in() {
        let walk = |body: &[u8]| Envelopes::new(body).map(|one| one.is_ok()).collect::<Vec<_>>();
        assert_eq!(walk(b"{\"event\":1}{\"event\":\"\xff\"}{\"event\":1}"), [true, false]);
        assert_eq!(walk(b"{\"event\":1}\xff"), [true, false]);
        assert_eq!(walk(b"{\"event\":1} "), [true]);
        // A character across the edge of what is looked at at a time, whole and cut short.
        for shift in 0..4 {
            let whole = format!("{{\"event\":\"{}{}\"}}", "x".repeat(4080 + shift), "😀".repeat(2000));
            assert_eq!(walk(whole.as_bytes()), [true]);
            let mut broken = whole.into_bytes();
            broken[4094] = b'x';
            assert_eq!(walk(&broken), [false]);
        }
    }

    /// Where each object ends, and whether the body ends well, by `serde_json` and by us.
    fn both(body: &[u8]) -> ((Vec<usize>, bool), (Vec<usize>, bool)) {
        let mut theirs = (Vec::new(), true);
        let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<Map<String, Json>>();
        while let Some(object) = stream.next() {
            match object {
                Ok(_) => theirs.0.push(stream.byte_offset()),
                Err(_) => theirs.1 = false,
            }
        }
        let mut ours = (Vec::new(), true);
        for envelope in Envelopes::new(body) {
            match envelope {
                Ok(envelope) => ours.0.push(envelope.end),
                Err(Malformed) => ours.1 = false,
            }
        }
        (theirs, ours)
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            "[ -~\\\\\"\u{0}-\u{1f}é€😀]{0,40}".prop_map(Json::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                prop::collection::hash_map("event|fields|time|id|event_id|[a-z\"\\\\é]{0,9}", inner, 0..6)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((json(), "[ \n\t\r]{0,2}", any::<bool>()), 0..4).prop_map(|values| {
            let mut body = Vec::new();
            for (value, space, pretty) in values {
                let value = if value.is_object() { value } else { serde_json::json!({ "event": value }) };
                body.extend(
                    if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap(),
                );
                body.extend(space.bytes());
            }
            body
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn whole_bodies_are_read_as_serde_json_reads_them(body in body()) {
            let (theirs, ours) = both(&body);
            prop_assert!(ours.1);
            prop_assert_eq!(theirs, ours);
        }

        #[test]
        fn damaged_bodies_are_refused_where_serde_json_refuses_them(
            body in body(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
        ) {
            let mut body = body;
            for (place, kind, byte) in damage {
                if body.is_empty() {
                    body.push(byte);
                }
                let place = place.index(body.len());
                let likely = *b"{}[]\",:\\u0eE+-.0 nft\n\xff".get(usize::from(byte) % 24).unwrap_or(&b'x');
                match kind {
                    0 => body[place] = byte,
                    1 => body[place] = likely,
                    2 => body.insert(place, likely),
                    _ => drop(body.remove(place)),
                }
            }
            let (theirs, ours) = both(&body);
            prop_assert_eq!(theirs, ours, "{:?}", String::from_utf8_lossy(&body));
        }

        #[test]
        fn soup_of_json_signs_is_judged_as_serde_json_judges_it(
            body in "(\\{|\\}|\\[|\\]|\"|\\\\|\\\\u|d8|dC|00|:|,|\"a\"|\"a\":|\\{\"a\":|true|null|-|0|1|\\.|e|E|\\+|1e400| ){0,14}"
        ) {
            let (theirs, ours) = both(body.as_bytes());
            prop_assert_eq!(theirs, ours, "{}", body);
        }
    }
}
