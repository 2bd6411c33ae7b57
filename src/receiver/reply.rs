//! What one request to the events endpoint comes to: which of its events are taken, and what is said about them.
//!
//! Joins the honest answer of [`super::collector`] with the fault that hits the request. Pure.
//!
//! Called by [`super::connection`].

use memchr::memmem;

use super::answer::{Answer, Body, blames_event};
use super::bulk;
use super::collector;
use super::envelope::Envelope;
use super::fault::Fault;
use super::hooks;
use super::kind::Kind;
use super::logs;
use super::play::{Part, Play};

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Answer(Answer),
    /// Bytes that are no HTTP, then the end of the connection.
    Garbage,
    /// No answer, for ever.
    Silence,
    /// No answer, and the connection reset.
    Reset,
}

/// How a request ends, and what of it is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) reply: Reply,
    /// The first so many of what was found are indexed, skipped ones excepted.
    pub(super) taken: usize,
    pub(super) unindexed: u64,
}

impl Outcome {
    /// Nothing is taken.
    pub(super) fn nothing(reply: Reply) -> Self {
        Self { reply, taken: 0, unindexed: 0 }
    }

    /// Whether it is answered, and with success.
    pub(super) fn succeeds(&self) -> bool {
        self.reply.succeeds()
    }

    /// Whether the events get a number under which they can be asked for. The part of a body that stands before a fault
    /// gets none; what a sender is not told may have one all the same.
    pub(super) fn promises_acknowledgement(&self) -> bool {
        match &self.reply {
            Reply::Answer(answer) => answer.is_success() && matches!(answer.body, Body::Code { .. }),
            Reply::Silence | Reply::Reset => self.taken > 0,
            Reply::Garbage => false,
        }
    }
}

impl Reply {
    pub(super) fn succeeds(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.is_success())
    }
}

/// Decides about a body; `found` gets its events, of which the outcome takes the first few.
pub(super) fn decide(part: &Part, body: &[u8], fault: Option<&Fault>, found: &mut Vec<Envelope>) -> Outcome {
    let (outcome, play) = (decide_in_order(part, body, fault, found), part.play);
    let is_refused = matches!(&outcome.reply, Reply::Answer(answer) if !answer.is_success());
    let takes_all_the_same = fault.is_some_and(|fault| fault.parameters.taken);
    match play {
        // Nothing is kept of a request that is refused.
        Play::Datadog | Play::Elastic | Play::Webhook if is_refused && !takes_all_the_same => {
            Outcome::nothing(outcome.reply)
        }
        _ => outcome,
    }
}

/// What stands before a fault is kept.
fn decide_in_order(part: &Part, body: &[u8], fault: Option<&Fault>, found: &mut Vec<Envelope>) -> Outcome {
    let play = part.play;
    let honest = |found: &mut Vec<Envelope>| {
        let reading = match play {
            Play::Splunk => collector::read(body, found),
            Play::Datadog => logs::read(body, found),
            Play::Elastic => bulk::read(body, found),
            Play::Webhook => hooks::read(body, &part.id_field, found),
        };
        Outcome { reply: Reply::Answer(reading.answer), taken: found.len(), unindexed: reading.unindexed }
    };
    let Some(fault) = fault else { return honest(found) };
    let all_but = |reply: Reply, found: &mut Vec<Envelope>| Outcome { reply, ..honest(found) };
    match fault.kind {
        Kind::Status(status) if play == Play::Elastic && bulk::is_of_items(fault) => {
            let honest = honest(found);
            bulk::refuse(status, fault, body, found);
            honest
        }
        Kind::Status(status) => {
            let honest = if reads_events(fault) { honest(found) } else { Outcome::nothing(Reply::Silence) };
            scripted(status, fault, honest, body, found)
        }
        Kind::ResetBefore | Kind::Reset => Outcome::nothing(Reply::Reset),
        Kind::ResetAfter => all_but(Reply::Reset, found),
        Kind::Garbage if fault.parameters.body => Outcome::nothing(Reply::Answer(Answer::with(200, Body::NotJson))),
        Kind::Garbage => Outcome::nothing(Reply::Garbage),
        Kind::Hang if fault.parameters.taken => all_but(Reply::Silence, found),
        Kind::Hang => Outcome::nothing(Reply::Silence),
        Kind::Delay | Kind::Drip | Kind::Close | Kind::Restart | Kind::Never => honest(found),
    }
}

/// Whether an answer depends on the events of the body.
fn reads_events(fault: &Fault) -> bool {
    fault.parameters.taken
        || fault.parameters.event.is_some()
        || fault.kind == Kind::Status(200)
        || (fault.kind == Kind::Status(400) && fault.code().is_some_and(blames_event))
}

fn scripted(status: u16, fault: &Fault, honest: Outcome, body: &[u8], found: &[Envelope]) -> Outcome {
    let code = fault.code();
    let answer = |event: Option<u64>| {
        let body = code.map_or(Body::Html, |code| Body::Code { code, event });
        Reply::Answer(Answer { retry_after: fault.retry_after(), ..Answer::with(status, body) })
    };
    if !reads_events(fault) {
        return Outcome::nothing(answer(None));
    }
    if status == 200 {
        // A body that is refused anyway is not praised.
        return if honest.succeeds() { Outcome { reply: answer(None), ..honest } } else { honest };
    }
    if fault.parameters.taken {
        return Outcome { reply: answer(None), ..honest };
    }
    let culprit = culprit(fault, body, found);
    if culprit >= found.len() {
        let succeeds = honest.succeeds();
        return if status == 503 && succeeds {
            Outcome { reply: answer(Some(honest.taken as u64)), ..honest }
        } else {
            honest
        };
    }
    // Splunk counts from one for code 7 alone.
    let number = culprit as u64 + u64::from(code == Some(7));
    Outcome { reply: answer(Some(number)), taken: culprit, unindexed: 0 }
}

/// The event to blame: the one asked for (the last one if there are fewer), else the one with the text, else the middle.
fn culprit(fault: &Fault, body: &[u8], found: &[Envelope]) -> usize {
    if let Some(event) = fault.parameters.event {
        let event = usize::try_from(event).unwrap_or(usize::MAX);
        return if fault.kind == Kind::Status(400) { event.min(found.len().saturating_sub(1)) } else { event };
    }
    let Some(needle) = fault.needle() else { return found.len() / 2 };
    let finder = memmem::Finder::new(needle);
    let holds = |envelope: &Envelope| {
        body.get(envelope.start..envelope.end).is_some_and(|object| finder.find(object).is_some())
    };
    found.iter().position(holds).unwrap_or(found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"event":"a"}{"event":"b"}{"event":"c"}{"event":"d"}"#;

    fn outcome(fault: &str, body: &str) -> Outcome {
        let fault = (!fault.is_empty()).then(|| fault.parse().unwrap());
        let part = Part { play: Play::Splunk, id_field: String::new() };
        decide(&part, body.as_bytes(), fault.as_ref(), &mut Vec::new())
    }

    fn taken(answer: Answer, taken: usize) -> Outcome {
        Outcome { reply: Reply::Answer(answer), taken, unindexed: 0 }
    }

    fn with(status: u16, code: u16, event: Option<u64>) -> Answer {
        Answer::with(status, Body::Code { code, event })
    }

    #[test]
    fn a_blamed_event_cuts_the_body() {
        assert_eq!(outcome("", BODY), taken(Answer::success(), 4));
        assert_eq!(outcome("400", BODY), taken(Answer::event(6, 2), 2));
        assert_eq!(outcome("400:event=0", BODY), taken(Answer::event(6, 0), 0));
        assert_eq!(outcome("400:event=9", BODY), taken(Answer::event(6, 3), 3));
        assert_eq!(outcome("400:contains=d", BODY), taken(Answer::event(6, 3), 3));
        assert_eq!(outcome("400:id=b", BODY), taken(Answer::event(6, 1), 1));
        assert_eq!(outcome("400:code=15,event=1", BODY), taken(Answer::event(15, 1), 1));
        assert_eq!(outcome("400:code=7,event=1", BODY), taken(Answer::event(7, 2), 1), "code 7 is off by one");
    }

    #[test]
    fn a_real_fault_goes_before_a_played_one() {
        let body = r#"{"event":"a"}{"event":"b"}{}{"event":"d"}"#;
        assert_eq!(outcome("400:contains=d", body), taken(Answer::event(12, 2), 2));
        assert_eq!(outcome("400", ""), taken(Answer::code(5), 0));
        assert_eq!(outcome("200:code=24", ""), taken(Answer::code(5), 0));
    }

    #[test]
    fn refusals_of_the_whole_take_nothing_unless_told_to() {
        assert_eq!(outcome("400:code=11", BODY), taken(Answer::code(11), 0));
        assert_eq!(outcome("401", BODY), taken(Answer::code(3), 0));
        assert_eq!(outcome("403", BODY), taken(Answer::code(4), 0));
        assert_eq!(outcome("413", BODY), taken(Answer::with(413, Body::Html), 0));
        assert_eq!(outcome("429", BODY), taken(Answer { retry_after: Some(1), ..Answer::code(26) }, 0));
        assert_eq!(outcome("500", BODY), taken(Answer::code(8), 0));
        assert_eq!(outcome("500:taken", BODY), taken(Answer::code(8), 4));
        assert_eq!(outcome("502:taken", BODY), taken(Answer::with(502, Body::Html), 4));
        assert_eq!(outcome("503:retry_after=3", BODY), taken(Answer { retry_after: Some(3), ..Answer::code(9) }, 0));
    }

    #[test]
    fn busy_after_some_events_says_how_far_it_came() {
        assert_eq!(outcome("503:event=3", BODY), taken(with(503, 9, Some(3)), 3));
        assert_eq!(outcome("503:event=9", BODY), taken(with(503, 9, Some(4)), 4));
    }

    #[test]
    fn a_number_is_given_for_what_is_taken_as_a_whole() {
        for (fault, promises) in [
            ("", true),
            ("200:code=25", true),
            ("reset_after", true),
            ("hang:taken", true),
            ("400", false),
            ("503:event=2", false),
            ("500:taken", false),
            ("garbage:body", false),
            ("reset", false),
            ("hang", false),
        ] {
            assert_eq!(outcome(fault, BODY).promises_acknowledgement(), promises, "{fault}");
        }
    }

    #[test]
    fn other_endings_take_all_or_nothing() {
        let all = |reply| Outcome { reply, taken: 4, unindexed: 0 };
        assert_eq!(outcome("200:code=24", BODY), taken(with(200, 24, None), 4));
        assert_eq!(outcome("reset", BODY), Outcome::nothing(Reply::Reset));
        assert_eq!(outcome("reset_after", BODY), all(Reply::Reset));
        assert_eq!(outcome("garbage", BODY), Outcome::nothing(Reply::Garbage));
        assert_eq!(outcome("garbage:body", BODY), taken(Answer::with(200, Body::NotJson), 0));
        assert_eq!(outcome("hang", BODY), Outcome::nothing(Reply::Silence));
        assert_eq!(outcome("hang:taken", BODY), all(Reply::Silence));
    }
}
