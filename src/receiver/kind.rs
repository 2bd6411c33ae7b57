//! The kinds of faults: what each is called, what it takes, and what it does.
//!
//! Written down once, for the parser, its errors and the help of the commands alike.
//!
//! Read by [`super::fault`], matched by those who apply a fault.

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request is answered with this status.
    Status(u16),
    Delay,
    Drip,
    ResetBefore,
    Reset,
    ResetAfter,
    Garbage,
    Hang,
    Close,
    /// Acknowledgements are never given.
    Never,
    Restart,
}

/// Which requests a fault can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Events,
    Acks,
}

pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) endpoint: Endpoint,
    pub(super) kind: Kind,
    /// Its own parameters, besides those of [`COMMON`].
    pub(super) takes: &'static [&'static str],
    pub(super) example: &'static str,
    pub(super) meaning: &'static str,
}

/// Which requests: all kinds take these.
pub(super) const COMMON: &[&str] = &["every", "first", "share", "contains", "id", "bytes"];

const fn known(
    name: &'static str,
    kind: Kind,
    takes: &'static [&'static str],
    example: &'static str,
    meaning: &'static str,
) -> Known {
    Known { name, endpoint: Endpoint::Events, kind, takes, example, meaning }
}

/// A kind that hits requests for acknowledgements.
const fn known_of_acks(
    name: &'static str,
    kind: Kind,
    takes: &'static [&'static str],
    example: &'static str,
    meaning: &'static str,
) -> Known {
    Known { endpoint: Endpoint::Acks, ..known(name, kind, takes, example, meaning) }
}

pub(super) const KNOWN: &[Known] = &[
    known("200", Kind::Status(200), &["code"], "200:code=24", "takes all and answers 200 with another code, 24 or 25"),
    known(
        "400",
        Kind::Status(400),
        &["event", "code"],
        "400:contains=poison",
        "blames one event: those before it are indexed, it and the rest are not; code 6, 7, 12, 13, 15 name the event \
         (event=N, else the one that contains the text, else the middle), other codes take nothing",
    ),
    known("401", Kind::Status(401), &["code"], "401:first=2", "refuses the authorization"),
    known("403", Kind::Status(403), &["code"], "403:contains=poison", "refuses the token"),
    known("413", Kind::Status(413), &[], "413:bytes=500000", "finds the body too large"),
    known("415", Kind::Status(415), &[], "415", "refuses the content encoding, in HTML"),
    known("429", Kind::Status(429), &["retry_after", "code"], "429:retry_after=2,every=5", "asks to wait"),
    known("500", Kind::Status(500), &["taken", "code"], "500:taken,share=0.01", "fails; taken: after indexing all"),
    known("502", Kind::Status(502), &["taken"], "502:every=7", "a proxy's HTML page; taken: after indexing all"),
    known(
        "503",
        Kind::Status(503),
        &["retry_after", "event", "taken", "code"],
        "503:every=3",
        "is busy; event=N: after indexing N events, and says so; taken: after indexing all",
    ),
    known("504", Kind::Status(504), &["taken"], "504:taken", "a proxy gives up; taken: after indexing all"),
    known("delay", Kind::Delay, &["ms"], "delay:ms=200,share=0.1", "indexes at once, answers late"),
    known("drip", Kind::Drip, &["ms"], "drip:ms=50", "answers one byte each so many milliseconds"),
    known(
        "reset_before",
        Kind::ResetBefore,
        &[],
        "reset_before:every=10",
        "resets the connection once the head is read, before the body is",
    ),
    known("reset", Kind::Reset, &[], "reset:every=10", "resets the connection amid the body"),
    known("reset_after", Kind::ResetAfter, &[], "reset_after:every=10", "indexes all, then resets without an answer"),
    known("garbage", Kind::Garbage, &["body"], "garbage:body", "answers no HTTP; body: 200 with what is no JSON"),
    known("hang", Kind::Hang, &["taken"], "hang:first=1", "never answers; taken: but indexes all"),
    known("close", Kind::Close, &[], "close", "closes the connection after the answer, unannounced"),
    known(
        "restart",
        Kind::Restart,
        &[],
        "restart:every=50",
        "the indexer restarts before this request: what awaits acknowledgement is lost, and numbers begin at 0 again",
    ),
    known_of_acks("ack_400", Kind::Status(400), &["code"], "ack_400:first=3", "refuses to tell, with code 14"),
    known_of_acks("ack_404", Kind::Status(404), &[], "ack_404", "knows no acknowledgements"),
    known_of_acks(
        "ack_503",
        Kind::Status(503),
        &["retry_after", "taken", "code"],
        "ack_503:every=2",
        "is busy; taken: after forgetting what it would have told",
    ),
    known_of_acks(
        "ack_garbage",
        Kind::Garbage,
        &["body"],
        "ack_garbage:body",
        "answers no HTTP; body: 200 with what is no JSON",
    ),
    known_of_acks(
        "ack_hang",
        Kind::Hang,
        &["taken"],
        "ack_hang:first=1",
        "never answers; taken: after forgetting what it would have told",
    ),
    known_of_acks("ack_reset", Kind::Reset, &[], "ack_reset:every=3", "resets the connection, and tells nothing"),
    known_of_acks(
        "ack_reset_after",
        Kind::ResetAfter,
        &[],
        "ack_reset_after:every=3",
        "forgets what it would have told, then resets the connection",
    ),
    known_of_acks("ack_never", Kind::Never, &[], "ack_never", "indexes, and acknowledges nothing"),
];

pub(super) fn kinds() -> String {
    KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
}

pub(super) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

pub(super) fn takes(name: &str) -> String {
    let own = find(name).map_or(&[][..], |known| known.takes);
    own.iter().chain(COMMON).copied().collect::<Vec<_>>().join(", ")
}

pub(super) fn example(name: &str) -> &'static str {
    find(name).map_or("503:every=3", |known| known.example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name() {
        for known in KNOWN {
            let same = |other: &&Known| {
                other.name == known.name || (other.kind, other.endpoint) == (known.kind, known.endpoint)
            };
            assert_eq!(KNOWN.iter().filter(same).count(), 1, "{}", known.name);
            assert_eq!(known.name.starts_with("ack_"), known.endpoint == Endpoint::Acks, "{}", known.name);
        }
    }
}
