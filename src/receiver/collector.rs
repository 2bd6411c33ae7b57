//! What Splunk would answer to a body, and which of its events it would index.
//!
//! Validation streams: the first object at fault, in the order of the body, is the one reported; those before it are
//! indexed, it and all behind it are not. Pure: nothing is counted and nothing is kept here.
//!
//! Called by [`super::reply`].

use super::answer::Answer;
use super::envelope::{Envelope, Envelopes, Judgement};

/// What a body amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) answer: Answer,
    /// Objects that the answer passes off as taken, and that are not indexed.
    pub(super) unindexed: u64,
}

/// Reads a body; `found` gets the objects before the first one at fault, skipped ones included, so that their places are
/// the numbers by which Splunk counts.
pub(super) fn read(body: &[u8], found: &mut Vec<Envelope>) -> Reading {
    found.clear();
    let mut unindexed = 0;
    let mut envelopes = Envelopes::new(body);
    while let Some(envelope) = envelopes.next() {
        let number = found.len() as u64;
        let Ok(envelope) = envelope else {
            return Reading { answer: Answer::event(6, number), unindexed };
        };
        match envelope.judgement {
            Judgement::Index => found.push(envelope),
            Judgement::Skip => {
                unindexed += 1;
                found.push(envelope);
            }
            Judgement::Refuse(code) => return Reading { answer: Answer::event(code, number), unindexed },
            Judgement::UnknownKey => {
                let behind = envelopes.next();
                if number == 0 && behind.is_none() {
                    return Reading { answer: Answer::code(5), unindexed };
                }
                unindexed += 1 + behind.into_iter().chain(envelopes).flatten().count() as u64;
                return Reading { answer: Answer::success(), unindexed };
            }
        }
    }
    let answer = if found.is_empty() { Answer::code(5) } else { Answer::success() };
    Reading { answer, unindexed }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer, how many objects stand before the fault, and how many vanish silently.
    fn reading(body: &str) -> (Answer, usize, u64) {
        let mut found = Vec::new();
        let reading = read(body.as_bytes(), &mut found);
        (reading.answer, found.len(), reading.unindexed)
    }

    #[test]
    fn the_first_object_at_fault_is_named_and_those_before_it_are_found() {
        let good = r#"{"event":"x"}"#;
        let cases = [
            (format!("{good}{good}\n{good}"), (Answer::success(), 3, 0)),
            (format!("{good}{good}{{\"event\":}}{good}"), (Answer::event(6, 2), 2, 0)),
            (format!("{good}{{\"event\":\" \"}}{{\"ev"), (Answer::event(13, 1), 1, 0)),
            (format!("{good}{{}}"), (Answer::event(12, 1), 1, 0)),
            (format!("{{\"event\":1,\"fields\":{{\"a\":{{}}}}}}{good}"), (Answer::event(15, 0), 0, 0)),
            (format!("{good},{good}"), (Answer::event(6, 1), 1, 0)),
            (format!("[{good}]"), (Answer::event(6, 0), 0, 0)),
            ("7".to_owned(), (Answer::event(6, 0), 0, 0)),
            (String::new(), (Answer::code(5), 0, 0)),
            (" \n".to_owned(), (Answer::code(5), 0, 0)),
        ];
        for (body, expected) in cases {
            assert_eq!(reading(&body), expected, "{body}");
        }
    }

    #[test]
    fn an_unknown_key_swallows_the_rest_without_a_word() {
        let good = r#"{"event":"x"}"#;
        let unknown = r#"{"event":"x","evil":1}"#;
        assert_eq!(reading(&format!("{good}{unknown}{good}{good}")), (Answer::success(), 1, 3));
        assert_eq!(reading(&format!("{unknown}{good}")), (Answer::success(), 0, 2));
        assert_eq!(reading(&format!("{good}{unknown}")), (Answer::success(), 1, 1));
        assert_eq!(reading(&format!("{unknown}\n")), (Answer::code(5), 0, 0));
    }

    #[test]
    fn an_object_with_fields_alone_is_skipped_but_numbered() {
        let body = r#"{"fields":{"a":"b"}}{"event":null}"#;
        assert_eq!(reading(body), (Answer::event(6, 1), 1, 1));
    }

    /// Run in release mode: `cargo test --release --lib -- --ignored --nocapture what_reading_costs`.
    #[test]
    #[ignore = "a measurement, not a promise"]
    fn what_reading_costs() {
        let id = "0198c0de-7000-7000-8000-00000000abcd";
        let event = format!(
            concat!(
                r#"{{"time":1763958400.123,"host":"gateway-7","source":"siem-forward","sourcetype":"mcp:audit","#,
                r#""index":"audit","event":{{"id":"{id}","timestamp":"2025-11-24T04:26:40.123456Z","#,
                r#""event_type":"tool_invoked","severity":"low","user_id":"2f9c7a52-0d4e-4b4e-9a1c-7d1a1c0b6a11","#,
                r#""user_email":"ada.lovelace@example.com","server_id":"8e1f9e0c-43a1-4b7c-8a53-5f1f9a6f0c22","#,
                r#""tool_name":"create_ticket","decision":"allow","policy_id":"policy-tickets-write","#,
                r#""src_ip":"10.194.128.204","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "#,
                r#"(KHTML, like Gecko) Chrome/126.0 Safari/537.36","request_id":"req-0123456789abcdef","#,
                r#""details":{{"project":"PLAT","priority":3,"labels":["audit","gateway"],"latency_ms":12.5,"#,
                r#""title":"Rotate the \"staging\" credentials","cached":false,"note":null}}}},"#,
                r#""fields":{{"event_id":"{id}","event_type":"tool_invoked","severity":"low"}}}}"#,
            ),
            id = id
        );
        let body = event.repeat(500);
        let mut found = Vec::new();
        let mut best = u128::MAX;
        for _ in 0..2000 {
            let start = std::time::Instant::now();
            assert_eq!(read(body.as_bytes(), &mut found).answer, Answer::success());
            best = best.min(start.elapsed().as_nanos() / 500);
        }
        println!("{best} ns an event of {} B at best", event.len());
    }
}
