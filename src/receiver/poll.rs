//! What one request to the acknowledgement endpoint comes to.
//!
//! Pure: the books are asked by [`super::connection`], which calls this.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::answer::{Answer, Body};
use super::fault::Fault;
use super::kind::Kind;
use super::reply::Reply;

/// `{"acks":[0,1,2]}`.
#[derive(Debug, Deserialize)]
struct Question {
    acks: Vec<u64>,
}

/// The numbers that are asked for; the answer to give where the body is not such a question.
pub(super) fn read(body: &[u8]) -> Result<Vec<u64>, Answer> {
    if body.trim_ascii().is_empty() {
        return Err(Answer::code(5));
    }
    serde_json::from_slice(body).map(|question: Question| question.acks).map_err(|_| Answer::code(6))
}

/// Decides about a question; `ask` takes the truth out of the books, which then know it no more.
pub(super) fn decide(numbers: &[u64], fault: Option<&Fault>, ask: impl FnOnce(&[u64]) -> BTreeMap<u64, bool>) -> Reply {
    let Some(fault) = fault else { return Reply::Answer(Answer::with(200, Body::Acks(ask(numbers)))) };
    if fault.parameters.taken || fault.kind == Kind::ResetAfter {
        drop(ask(numbers));
    }
    match fault.kind {
        Kind::Status(status) => {
            let body = fault.code().map_or(Body::NotFound, |code| Body::Code { code, event: None });
            Reply::Answer(Answer { retry_after: fault.retry_after(), ..Answer::with(status, body) })
        }
        Kind::Garbage if fault.parameters.body => Reply::Answer(Answer::with(200, Body::NotJson)),
        Kind::Garbage => Reply::Garbage,
        Kind::Hang => Reply::Silence,
        Kind::Never => {
            Reply::Answer(Answer::with(200, Body::Acks(numbers.iter().map(|number| (*number, false)).collect())))
        }
        _ => Reply::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about the numbers 0 and 1, of which 1 is indexed, and whether the books were asked.
    fn decided(fault: &str) -> (Reply, bool) {
        let fault = (!fault.is_empty()).then(|| fault.parse().unwrap());
        let mut asked = false;
        let reply = decide(&[0, 1], fault.as_ref(), |numbers| {
            asked = true;
            numbers.iter().map(|number| (*number, *number == 1)).collect()
        });
        (reply, asked)
    }

    #[test]
    fn a_question_is_a_list_of_numbers() {
        assert_eq!(read(br#"{"acks":[0,7,7]}"#), Ok(vec![0, 7, 7]));
        assert_eq!(read(br#" {"acks":[]}"#), Ok(vec![]));
        assert_eq!(read(b" "), Err(Answer::code(5)));
        for body in [&br#"{"acks":[-1]}"#[..], br#"{"acks":["0"]}"#, br#"{"ack":[0]}"#, b"[0]", b"{"] {
            assert_eq!(read(body), Err(Answer::code(6)));
        }
    }

    #[test]
    fn only_an_answer_that_is_told_or_lost_on_its_way_uses_the_truth_up() {
        let acks = |first, second| Reply::Answer(Answer::with(200, Body::Acks([(0, first), (1, second)].into())));
        let code = |code| Answer::with(super::super::answer::status_of(code), Body::Code { code, event: None });
        assert_eq!(decided(""), (acks(false, true), true));
        assert_eq!(decided("ack_never"), (acks(false, false), false));
        assert_eq!(decided("ack_400"), (Reply::Answer(code(14)), false));
        assert_eq!(decided("ack_400:code=10"), (Reply::Answer(code(10)), false));
        assert_eq!(decided("ack_404"), (Reply::Answer(Answer::with(404, Body::NotFound)), false));
        assert_eq!(decided("ack_503"), (Reply::Answer(code(9)), false));
        assert_eq!(decided("ack_503:taken"), (Reply::Answer(code(9)), true));
        let busy = Answer { retry_after: Some(2), ..code(19) };
        assert_eq!(decided("ack_503:retry_after=2,code=19"), (Reply::Answer(busy), false));
        assert_eq!(decided("ack_garbage"), (Reply::Garbage, false));
        assert_eq!(decided("ack_garbage:body"), (Reply::Answer(Answer::with(200, Body::NotJson)), false));
        assert_eq!(decided("ack_hang"), (Reply::Silence, false));
        assert_eq!(decided("ack_hang:taken"), (Reply::Silence, true));
        assert_eq!(decided("ack_reset"), (Reply::Reset, false));
        assert_eq!(decided("ack_reset_after"), (Reply::Reset, true));
    }
}
