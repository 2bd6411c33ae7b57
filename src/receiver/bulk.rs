//! What Elasticsearch would answer to the body of a bulk request, and which of its documents it would store.
//!
//! A body is lines: an action, then its document. One that is not is refused as a whole; else each document has a fate of its
//! own, and the answer an item for it. Stricter than the real one: every action is `create`, nothing stands between or behind
//! the lines, and a document has a time.
//!
//! Called by [`super::reply`].

use memchr::{memchr, memmem};

use super::answer::Answer;
use super::collector::Reading;
use super::envelope::{Envelope, Judgement};
use super::fault::Fault;
use super::ids::id_of;
use super::json::{LEVELS_MAX, Malformed, Scanner};
use super::kind::Kind;

/// Reads a body; `found` gets its documents with their actions. A document that cannot be mapped is refused with a status
/// of its own.
pub(super) fn read(body: &[u8], found: &mut Vec<Envelope>) -> Reading {
    found.clear();
    let mut scanner = Scanner::new(body);
    let mut is_read = !body.is_empty();
    while is_read && scanner.position() < body.len() {
        match document(&mut scanner, body) {
            Ok(envelope) => found.push(envelope),
            Err(Malformed) => is_read = false,
        }
    }
    if !is_read {
        found.clear();
    }
    Reading { answer: if is_read { Answer::success() } else { Answer::plain(400) }, unindexed: 0 }
}

/// The status of each document, once those that are held already are known.
pub(super) fn statuses(found: &[Envelope]) -> Vec<u16> {
    let status = |envelope: &Envelope| match envelope.judgement {
        Judgement::Refuse(status) => status,
        _ => 201,
    };
    found.iter().map(status).collect()
}

/// Whether a fault is told of single documents: those that it names, or the one that a 400 blames.
pub(super) fn is_of_items(fault: &Fault) -> bool {
    let names = fault.parameters.event.is_some() || fault.needle().is_some();
    let blames = fault.kind == Kind::Status(400) && fault.parameters.code.is_none();
    (names || blames) && !fault.parameters.taken
}

/// Refuses with this status the documents that a fault is told of; where it names none, the one in the middle.
pub(super) fn refuse(status: u16, fault: &Fault, body: &[u8], found: &mut [Envelope]) {
    let middle = found.len() / 2;
    let named = fault.parameters.event.map(|event| usize::try_from(event).unwrap_or(usize::MAX));
    let finder = fault.needle().map(memmem::Finder::new);
    for (number, envelope) in found.iter_mut().enumerate() {
        let is_blamed = match (named, &finder) {
            (Some(named), _) => number == named,
            (None, Some(finder)) => {
                body.get(envelope.start..envelope.end).is_some_and(|text| finder.find(text).is_some())
            }
            (None, None) => number == middle,
        };
        if is_blamed {
            envelope.judgement = Judgement::Refuse(status);
        }
    }
}

/// Reads two lines, their ends included.
fn document(scanner: &mut Scanner<'_>, body: &[u8]) -> Result<Envelope, Malformed> {
    let start = scanner.position();
    let id = line(scanner, body, action)?;
    let time = line(scanner, body, time)?;
    // Its line's end is no part of it.
    let end = scanner.position().saturating_sub(1);
    let judgement = if time { Judgement::Index } else { Judgement::Refuse(400) };
    Ok(Envelope { start, end, judgement, id })
}

/// Reads the object that a line is made of, and the line's end.
fn line<T>(
    scanner: &mut Scanner<'_>,
    body: &[u8],
    read: impl FnOnce(&mut Scanner<'_>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let start = scanner.position();
    if body.get(start) != Some(&b'{') || !scanner.eat(b'{') {
        return Err(Malformed);
    }
    let value = read(scanner)?;
    let is_one_line = body.get(start..scanner.position()).is_some_and(|line| memchr(b'\n', line).is_none());
    if is_one_line && scanner.advance_over(b'\n') { Ok(value) } else { Err(Malformed) }
}

/// Reads an action whose brace is consumed: `create`, and the id that it gives.
fn action(scanner: &mut Scanner<'_>) -> Result<Option<u128>, Malformed> {
    let (mut actions, mut id) = (0, None);
    scanner.members(|scanner, name| {
        actions += 1;
        if !name.is(b"create") || !scanner.eat(b'{') {
            return Err(Malformed);
        }
        scanner.members(|scanner, key| {
            let text = scanner.value(LEVELS_MAX - 2)?.text().ok_or(Malformed)?;
            if key.is(b"_id") {
                id = Some(id_of(text.decoded().as_ref()));
                return Ok(());
            }
            if key.is(b"_index") { Ok(()) } else { Err(Malformed) }
        })
    })?;
    if actions == 1 { Ok(id) } else { Err(Malformed) }
}

/// Reads a document whose brace is consumed, and tells whether it has a time.
fn time(scanner: &mut Scanner<'_>) -> Result<bool, Malformed> {
    let mut has_time = false;
    scanner.members(|scanner, key| {
        let value = scanner.value(LEVELS_MAX - 1)?;
        if key.is(b"@timestamp") {
            let text = value.text();
            has_time = text.is_some_and(|text| {
                let text = text.decoded();
                std::str::from_utf8(&text).is_ok_and(|text| text.parse::<jiff::Timestamp>().is_ok())
            });
        }
        Ok(())
    })?;
    Ok(has_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "{\"create\":{\"_id\":\"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a\"}}\n{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"a\":\"poison\"}\n";
    const OTHER: &str =
        "{\"create\":{\"_index\":\"a-2026\",\"_id\":\"x\"}}\n{\"@timestamp\":\"2026-01-01T00:00:00Z\"}\n";

    /// The status, and those of the documents.
    fn reading(body: &str) -> (u16, Vec<u16>) {
        let mut found = Vec::new();
        let status = read(body.as_bytes(), &mut found).answer.status;
        (status, statuses(&found))
    }

    #[test]
    fn lines_are_taken_in_pairs_or_not_at_all() {
        assert_eq!(reading(&format!("{GOOD}{OTHER}")), (200, vec![201, 201]));
        let one = GOOD.strip_suffix('\n').unwrap();
        let (action, document) = one.split_once('\n').unwrap();
        for bad in [
            String::new(),
            "\n".to_owned(),
            one.to_owned(),
            action.to_owned() + "\n",
            format!("{GOOD}\n"),
            format!(" {GOOD}"),
            format!("{GOOD}{action}\n"),
            format!("{action}\n\n{document}\n"),
            format!("{action}{document}\n"),
            format!("{action}\n{document} \n"),
            format!("{action}\n{}\n", document.replace(',', ",\n")),
            format!("{action}\n[{document}]\n"),
            GOOD.replace("create", "index"),
            GOOD.replace("_id", "id"),
            GOOD.replace("{\"create\":", "{\"create\":{},\"create\":"),
            "{}\n{}\n".to_owned(),
        ] {
            assert_eq!(reading(&bad), (400, vec![]), "{bad}");
        }
    }

    #[test]
    fn a_document_without_a_time_is_refused_alone() {
        for time in ["\"yesterday\"", "7", "null", "[]"] {
            let bad = GOOD.replace("\"2026-01-01T00:00:00Z\"", time);
            assert_eq!(reading(&format!("{OTHER}{bad}{OTHER}")), (200, vec![201, 400, 201]), "{time}");
        }
    }

    #[test]
    fn a_document_is_known_by_the_id_of_its_action_and_ends_before_its_line() {
        let body = format!("{GOOD}{OTHER}");
        let mut found = Vec::new();
        read(body.as_bytes(), &mut found);
        let ids: Vec<_> = found.iter().map(|document| document.id).collect();
        assert_eq!(ids, [Some(id_of(b"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a")), Some(id_of(b"x"))]);
        assert_eq!(&body[found[1].start..found[1].end], OTHER.strip_suffix('\n').unwrap());
    }

    #[test]
    fn a_fault_is_told_of_those_that_it_names() {
        let body = [GOOD, OTHER, OTHER, GOOD].concat();
        let refused = |fault: &str| {
            let fault: Fault = fault.parse().unwrap();
            let mut found = Vec::new();
            read(body.as_bytes(), &mut found);
            assert!(is_of_items(&fault), "{fault}");
            refuse(429, &fault, body.as_bytes(), &mut found);
            statuses(&found)
        };
        assert_eq!(refused("429:contains=poison"), [429, 201, 201, 429]);
        assert_eq!(refused("429:id=2dc1005f"), [429, 201, 201, 429]);
        assert_eq!(refused("503:event=1"), [201, 429, 201, 201]);
        assert_eq!(refused("503:event=9"), [201; 4]);
        assert_eq!(refused("400"), [201, 201, 429, 201]);
        for whole in ["429", "503", "400:code=11", "503:event=1,taken", "413:bytes=9"] {
            assert!(!is_of_items(&whole.parse().unwrap()), "{whole}");
        }
    }
}
