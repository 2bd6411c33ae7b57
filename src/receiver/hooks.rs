//! What a webhook would answer to a body, and which events are in it: an object a line, an array, or an array that is the
//! one member of an object. All of it is taken, or nothing.
//!
//! Called by [`super::reply`].

use super::answer::Answer;
use super::collector::Reading;
use super::envelope::{Envelope, Judgement};
use super::ids::id_of;
use super::json::{LEVELS_MAX, Malformed, Scanner};

/// Reads a body; `found` gets its events where all of it is taken. Their ids stand at `id_field`, names with dots between
/// them, from the outermost on.
pub(super) fn read(body: &[u8], id_field: &str, found: &mut Vec<Envelope>) -> Reading {
    found.clear();
    let is_read = under_a_key(body, id_field, found).is_ok() || {
        found.clear();
        lines_or_array(body, id_field, found).is_ok()
    };
    if !is_read {
        found.clear();
    }
    Reading { answer: if is_read { Answer::success() } else { Answer::plain(400) }, unindexed: 0 }
}

fn under_a_key(body: &[u8], id_field: &str, found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(body);
    if !scanner.eat(b'{') {
        return Err(Malformed);
    }
    let mut members = 0;
    scanner.members(|scanner, _| {
        members += 1;
        if members > 1 || !scanner.eat(b'[') { Err(Malformed) } else { array(scanner, id_field, found) }
    })?;
    if members == 1 && scanner.peek().is_none() { Ok(()) } else { Err(Malformed) }
}

fn lines_or_array(body: &[u8], id_field: &str, found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(body);
    if scanner.eat(b'[') {
        array(&mut scanner, id_field, found)?;
        return if scanner.peek().is_none() { Ok(()) } else { Err(Malformed) };
    }
    while scanner.peek().is_some() {
        found.push(event(&mut scanner, id_field)?);
    }
    if found.is_empty() { Err(Malformed) } else { Ok(()) }
}

fn array(scanner: &mut Scanner<'_>, id_field: &str, found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    scanner.elements(|scanner| {
        found.push(event(scanner, id_field)?);
        Ok(())
    })
}

fn event(scanner: &mut Scanner<'_>, id_field: &str) -> Result<Envelope, Malformed> {
    let opens = scanner.peek() == Some(b'{');
    let start = scanner.position();
    if !(opens && scanner.eat(b'{')) {
        return Err(Malformed);
    }
    // The event may stand in an array, and that in an object.
    let mut id = None;
    members(scanner, id_field, LEVELS_MAX - 3, &mut id)?;
    Ok(Envelope { start, end: scanner.position(), judgement: Judgement::Index, id })
}

/// Reads the members of an object whose brace is consumed; `id` gets the text at `path`, the last where there are more.
fn members(scanner: &mut Scanner<'_>, path: &str, levels: u32, id: &mut Option<u128>) -> Result<(), Malformed> {
    let (name, inner) = path.split_once('.').map_or((path, None), |(name, inner)| (name, Some(inner)));
    scanner.members(|scanner, key| {
        let is_named = key.is(name.as_bytes());
        if let Some(inner) = inner
            && is_named
            && levels > 0
            && scanner.eat(b'{')
        {
            return members(scanner, inner, levels - 1, id);
        }
        let value = scanner.value(levels)?;
        if is_named && inner.is_none() {
            *id = value.text().map(|text| id_of(text.decoded().as_ref()));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, and the texts of the events with their ids.
    fn reading(body: &str) -> (u16, Vec<(&str, bool)>) {
        let mut found = Vec::new();
        let status = read(body.as_bytes(), "id", &mut found).answer.status;
        (status, found.iter().map(|event| (&body[event.start..event.end], event.id.is_some())).collect())
    }

    #[test]
    fn events_are_found_in_every_body() {
        let (with, without) = (r#"{"x":[1],"id":"a"}"#, r#"{"user":{"id":"a"}}"#);
        let both = vec![(with, true), (without, false)];
        assert_eq!(reading(&format!("{with}\n{without}\n")), (200, both.clone()));
        assert_eq!(reading(&format!("[{with}, {without}]")), (200, both.clone()));
        assert_eq!(reading(&format!("{{\"events\":[{with},{without}]}}")), (200, both));
        assert_eq!(reading("[]"), (200, vec![]));
        for bad in ["", " ", "7", "[7]", "{\"a\":1", "{\"events\":[{}]", "{\"events\":[7]}x", "{}\n7"] {
            assert_eq!(reading(bad), (400, vec![]), "{bad}");
        }
    }

    #[test]
    fn an_id_is_found_where_it_is_said_to_stand() {
        let id = |path: &str, body: &str| {
            let mut found = Vec::new();
            assert_eq!(read(body.as_bytes(), path, &mut found).answer.status, 200, "{body}");
            found.iter().map(|event| event.id).collect::<Vec<_>>()
        };
        let [a, b] = ["a", "b"].map(|text| Some(id_of(text.as_bytes())));
        let body = r#"[{"id":"a","event":{"id":"b","more":{"id":"c"}}},{"event":{"more":[{"id":"b"}]}},{"event":"b"}]"#;
        assert_eq!(id("id", body), [a, None, None]);
        assert_eq!(id("event.id", body), [b, None, None]);
        assert_eq!(id("event.more.id", body), [Some(id_of(b"c")), None, None]);
        assert_eq!(id("event", body), [None, None, b]);
        assert_eq!(id("event.id", r#"{"\u0065vent" : { "id" : "\u0061" }, "id": "b"}"#), [a]);
        assert_eq!(id("a.b", r#"{"a.b":"b","a":{"b":"a"}}"#), [a]);
        assert_eq!(id("a.b", r#"{"a":{"b":7}}"#), [None]);
        // Nesting ends where it does without a path.
        let deep = |levels: usize| format!("{}{}", "{\"a\":".repeat(levels), "7".to_owned() + &"}".repeat(levels));
        for levels in 120..130 {
            let status = |path: &str| read(deep(levels).as_bytes(), path, &mut Vec::new()).answer.status;
            assert_eq!(status(&["a"; 200].join(".")), status("id"), "{levels}");
        }
    }
}
