//! A connection: requests in, answers out, until one side has had enough.
//!
//! One thread each, blocking. A wait of ours ends when the receiver stops; a blocked read or write ends because the
//! receiver shuts the socket down.
//!
//! Started by [`super::Receiver`].

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::answer::{Announce, Answer, Body};
use super::books::{Books, Counts, ThreadClock};
use super::envelope::Envelope;
use super::ids::Sorted;
use super::inflate::Inflater;
use super::reply::{self, Outcome, Reply};
use super::request::{Encoding, Extent, Failure, Head, Reader, Route};
use super::schedule::{Plan, Schedule};
use super::stop::Stop;

/// How long, and for how many bytes, a refused request is read on so that its sender gets to see the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) books: Books,
    pub(super) stop: Stop,
    pub(super) token: RwLock<Option<String>>,
    pub(super) schedule: RwLock<Arc<Schedule>>,
    pub(super) content_length_max: usize,
}

/// How a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Request,
    Close,
    /// To be closed with a reset.
    Reset,
}

pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: Arc<TcpStream>,
    clock: ThreadClock,
    reader: Reader,
    inflater: Inflater,
    found: Vec<Envelope>,
    sorted: Sorted,
    out: Vec<u8>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, stream: Arc<TcpStream>) -> Self {
        Self {
            shared,
            stream,
            clock: ThreadClock::default(),
            reader: Reader::new(),
            inflater: Inflater::default(),
            found: Vec::new(),
            sorted: Sorted::default(),
            out: Vec::new(),
        }
    }

    /// Serves the connection and tells how it is to be closed.
    pub(super) fn run(mut self) -> Next {
        // An answer is one small write; waiting for more would only delay it.
        drop(self.stream.set_nodelay(true));
        let next = loop {
            match self.request() {
                Ok(Next::Request) => {}
                Ok(next) => break next,
                Err(Failure::Gone) => break Next::Close,
                Err(Failure::Refuse(answer)) => {
                    if self.answer(&answer, Announce::Close, None).is_ok() {
                        self.linger();
                    }
                    break Next::Close;
                }
            }
        };
        self.clock.publish(&self.shared.books);
        next
    }

    fn request(&mut self) -> Result<Next, Failure> {
        let head = self.reader.head(&self.stream)?;
        if head.route == Route::Events {
            return self.events(&head);
        }
        let extent = self.body(&head)?;
        self.reader.consume(&extent);
        let answer = match head.route {
            Route::Health => Answer::code(17),
            Route::Options => Answer::with(200, Body::Empty),
            Route::WrongMethod => Answer::with(405, Body::NotFound),
            Route::Events | Route::NotFound => Answer::with(404, Body::NotFound),
        };
        self.finish(&answer, &head, &Plan::default())
    }

    fn body(&mut self, head: &Head) -> Result<Extent, Failure> {
        self.invite(head)?;
        self.reader.body(&self.stream, head, self.shared.content_length_max)
    }

    /// Asks for the body where the sender waits to be asked; one that is too large is not asked for.
    fn invite(&self, head: &Head) -> Result<(), Failure> {
        if !head.expects_continue || head.announces_more_than(self.shared.content_length_max) {
            return Ok(());
        }
        (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Failure::Gone)
    }

    fn events(&mut self, head: &Head) -> Result<Next, Failure> {
        let shared = Arc::clone(&self.shared);
        let schedule = Arc::clone(&shared.schedule.read());
        let refusal = refusal(head.authorization.as_deref(), shared.token.read().as_deref());
        let mut plan = if refusal.is_none() { schedule.at_head() } else { Plan::default() };
        let failed = Counts { requests: 1, requests_failed: 1, ..Counts::default() };

        if schedule.resets_amid_body(&plan) {
            let half = self.invite(head).and_then(|()| self.reader.half_body(&self.stream, head));
            shared.books.count(&failed);
            return half.map(|()| Next::Reset);
        }
        let extent = self.body(head).inspect_err(|_| shared.books.count(&failed))?;
        let (outcome, counts) = self.judge(head, refusal, &extent, &schedule, &mut plan);
        self.reader.consume(&extent);
        let requests_failed = u64::from(!outcome.succeeds());
        shared.books.count(&Counts { requests: 1, requests_failed, ..counts });

        if shared.stop.wait(plan.delay) {
            return Ok(Next::Close);
        }
        match outcome.reply {
            Reply::Answer(answer) => self.finish(&answer, head, &plan),
            Reply::Garbage => {
                self.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n", plan.drip)?;
                Ok(Next::Close)
            }
            Reply::Silence => {
                self.clock.publish(&shared.books);
                while self.read_away().is_some() {}
                Ok(Next::Close)
            }
            Reply::Reset => Ok(Next::Reset),
        }
    }

    /// Decides about a request that is there as a whole, and indexes what it brings.
    fn judge<'s>(
        &mut self,
        head: &Head,
        refusal: Option<Answer>,
        extent: &Extent,
        schedule: &'s Schedule,
        plan: &mut Plan<'s>,
    ) -> (Outcome, Counts) {
        let raw = self.reader.bytes(extent);
        let bytes = raw.len() as u64;
        let body = match (refusal, head.encoding) {
            (Some(answer), _) => Err(answer),
            (None, Encoding::Identity) => Ok(raw),
            (None, Encoding::Gzip) if raw.is_empty() => Ok(raw),
            (None, Encoding::Gzip) => self.inflater.inflate(raw, self.shared.content_length_max),
            (None, Encoding::Other) => Err(Answer::with(415, Body::Html)),
        };
        let body = match body {
            Ok(body) => body,
            Err(answer) => return (Outcome::nothing(Reply::Answer(answer)), Counts { bytes, ..Counts::default() }),
        };
        schedule.with_body(plan, body);
        let outcome = reply::decide(body, plan.ending(), &mut self.found);
        let taken = self.found.get(..outcome.taken).unwrap_or_default();
        let indexed = self.shared.books.index(body, taken, &mut self.sorted);
        let counts = Counts { bytes, bytes_inflated: body.len() as u64, unindexed: outcome.unindexed, ..indexed };
        (outcome, counts)
    }

    /// Answers, and tells whether the connection is kept.
    fn finish(&mut self, answer: &Answer, head: &Head, plan: &Plan<'_>) -> Result<Next, Failure> {
        let announce = if head.keep_alive { Announce::KeepAlive } else { Announce::Close };
        self.answer(answer, announce, plan.drip)?;
        Ok(if head.keep_alive && !plan.close { Next::Request } else { Next::Close })
    }

    fn answer(&mut self, answer: &Answer, announce: Announce, drip: Option<Duration>) -> Result<(), Failure> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        answer.write(announce, &mut out);
        let sent = self.send(&out, drip);
        self.out = out;
        sent
    }

    fn send(&mut self, bytes: &[u8], drip: Option<Duration>) -> Result<(), Failure> {
        // Before the write: whoever has the answer finds the work of the request in the books.
        self.clock.publish(&self.shared.books);
        let mut stream = &*self.stream;
        let Some(pause) = drip else { return stream.write_all(bytes).map_err(|_| Failure::Gone) };
        for byte in bytes {
            if self.shared.stop.wait(pause) {
                return Err(Failure::Gone);
            }
            stream.write_all(std::slice::from_ref(byte)).map_err(|_| Failure::Gone)?;
        }
        Ok(())
    }

    /// Reads on for a while: closing with bytes unread would reset the connection, and the answer could be lost with it.
    fn linger(&self) {
        let until = Instant::now() + LINGER;
        let prepared = self.stream.shutdown(Shutdown::Write).and_then(|()| self.stream.set_read_timeout(Some(LINGER)));
        let mut bytes = 0;
        while prepared.is_ok() && bytes < LINGER_BYTES_MAX && Instant::now() < until {
            match self.read_away() {
                Some(read) => bytes += read,
                None => return,
            }
        }
    }

    /// Reads and forgets; `None` at the end.
    fn read_away(&self) -> Option<usize> {
        let mut scratch = [0; 16 * 1024];
        (&*self.stream).read(&mut scratch).ok().filter(|bytes| *bytes > 0)
    }
}

/// Why a request is not let in.
fn refusal(shown: Option<&[u8]>, token: Option<&str>) -> Option<Answer> {
    let Some(shown) = shown else { return Some(Answer::code(2)) };
    let Some(shown) = shown.strip_prefix(b"Splunk ").filter(|token| !token.is_empty()) else {
        return Some(Answer::code(3));
    };
    token.is_some_and(|token| token.as_bytes() != shown).then(|| Answer::code(4))
}
