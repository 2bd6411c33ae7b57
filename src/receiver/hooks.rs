//! What a webhook would answer to a body, and which events are in it: an object a line, an array, or an array that is the
//! one member of an object. All of it is taken, or nothing.
//!
//! Called by [`super::reply`].

use super::answer::Answer;
use super::collector::Reading;
use super::envelope::{Envelope, Judgement};
use super::ids::id_of;
use super::json::{LEVELS_MAX, Malformed, Scanner};

/// Reads a body; `found` gets its events where all of it is taken.
pub(super) fn read(body: &[u8], found: &mut Vec<Envelope>) -> Reading {
    found.clear();
    let is_read = under_a_key(body, found).is_ok() || {
        found.clear();
        lines_or_array(body, found).is_ok()
    };
    if !is_read {
        found.clear();
    }
    Reading { answer: if is_read { Answer::success() } else { Answer::plain(400) }, unindexed: 0 }
}

fn under_a_key(body: &[u8], found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(body);
    if !scanner.eat(b'{') {
        return Err(Malformed);
    }
    let mut members = 0;
    scanner.members(|scanner, _| {
        members += 1;
        if members > 1 || !scanner.eat(b'[') { Err(Malformed) } else { array(scanner, found) }
    })?;
    if members == 1 && scanner.peek().is_none() { Ok(()) } else { Err(Malformed) }
}

fn lines_or_array(body: &[u8], found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(body);
    if scanner.eat(b'[') {
        array(&mut scanner, found)?;
        return if scanner.peek().is_none() { Ok(()) } else { Err(Malformed) };
    }
    while scanner.peek().is_some() {
        found.push(event(&mut scanner)?);
    }
    if found.is_empty() { Err(Malformed) } else { Ok(()) }
}

fn array(scanner: &mut Scanner<'_>, found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    scanner.elements(|scanner| {
        found.push(event(scanner)?);
        Ok(())
    })
}

/// An event is known by its `id`.
fn event(scanner: &mut Scanner<'_>) -> Result<Envelope, Malformed> {
    let opens = scanner.peek() == Some(b'{');
    let start = scanner.position();
    if !(opens && scanner.eat(b'{')) {
        return Err(Malformed);
    }
    let mut id = None;
    scanner.members(|scanner, key| {
        let is_id = key.is(b"id");
        let value = scanner.value(LEVELS_MAX - 3)?;
        if is_id {
            id = value.text();
        }
        Ok(())
    })?;
    let id = id.map(|text| id_of(text.decoded().as_ref()));
    Ok(Envelope { start, end: scanner.position(), judgement: Judgement::Index, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, and the texts of the events with their ids.
    fn reading(body: &str) -> (u16, Vec<(&str, bool)>) {
        let mut found = Vec::new();
        let status = read(body.as_bytes(), &mut found).answer.status;
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
}
