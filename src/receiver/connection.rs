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
use uuid::Uuid;

use super::answer::{Announce, Answer, Body};
use super::books::{Books, Counts, ThreadClock};
use super::bulk;
use super::envelope::Envelope;
use super::ids::Sorted;
use super::inflate::Inflater;
use super::kind::Endpoint;
use super::play::{Part, Play};
use super::poll;
use super::reply::{self, Outcome, Reply};
use super::request::{Encoding, Extent, Failure, Head, Reader, Route};
use super::schedule::{EarlyReset, Plan, Schedule};
use super::stop::Stop;

/// How long, and for how many bytes, a refused request is read on so that its sender gets to see the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) part: Part,
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
        let reader = Reader::new(shared.part.play);
        Self {
            shared,
            stream,
            clock: ThreadClock::default(),
            reader,
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
        match head.route {
            Route::Events => return self.events(&head),
            Route::Acks => return self.acks(&head),
            _ => {}
        }
        let extent = self.body(&head)?;
        self.reader.consume(&extent);
        let answer = match head.route {
            Route::Health => self.health(&head),
            Route::Options => Answer::with(200, Body::Empty),
            Route::WrongMethod => Answer::with(405, Body::NotFound),
            Route::Events | Route::Acks | Route::NotFound => Answer::with(404, Body::NotFound),
        };
        self.finish(&answer, &head, &Plan::default())
    }

    /// Splunk's health says nothing of the token, Datadog's page tries the key.
    fn health(&self, head: &Head) -> Answer {
        match self.shared.part.play {
            Play::Splunk => Answer::code(17),
            Play::Datadog => self.refusal(head).unwrap_or(Answer::with(200, Body::Valid)),
            Play::Elastic => self.refusal(head).unwrap_or(Answer::with(200, Body::Green)),
            Play::Webhook => self.refusal(head).unwrap_or(Answer::with(200, Body::Taken)),
        }
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

    /// A request that brings events.
    fn events(&mut self, head: &Head) -> Result<Next, Failure> {
        let shared = Arc::clone(&self.shared);
        let schedule = Arc::clone(&shared.schedule.read());
        let entry = self.enter(head);
        let mut plan = if entry.is_ok() { schedule.at_head(Endpoint::Events) } else { Plan::default() };
        let failed = Counts { requests: 1, requests_failed: 1, ..Counts::default() };

        if let Some(reset) = schedule.early_reset(&plan) {
            if plan.restart {
                shared.books.restart();
            }
            return self.reset_early(head, reset, &failed);
        }
        let extent = self.body(head).inspect_err(|_| shared.books.count(&failed))?;
        let (outcome, counts) = self.judge(head, entry, &extent, &schedule, &mut plan);
        self.reader.consume(&extent);
        let requests_failed = u64::from(!outcome.succeeds());
        shared.books.count(&Counts { requests: 1, requests_failed, ..counts });
        self.reply(outcome.reply, head, &plan)
    }

    /// A request that asks for acknowledgements.
    fn acks(&mut self, head: &Head) -> Result<Next, Failure> {
        let shared = Arc::clone(&self.shared);
        let schedule = Arc::clone(&shared.schedule.read());
        let entry = self.enter(head).and_then(|channel| channel.ok_or(Answer::code(14)));
        let mut plan = if entry.is_ok() { schedule.at_head(Endpoint::Acks) } else { Plan::default() };
        let failed = Counts { ack_requests: 1, ack_requests_failed: 1, ..Counts::default() };

        if let Some(reset) = schedule.early_reset(&plan) {
            return self.reset_early(head, reset, &failed);
        }
        let extent = self.body(head).inspect_err(|_| shared.books.count(&failed))?;
        let content = content(&mut self.inflater, self.reader.bytes(&extent), head, shared.content_length_max);
        let asked = entry.and_then(|channel| content.map(|body| (channel, body)));
        let reply = asked.and_then(|(channel, body)| {
            let numbers = poll::read(body)?;
            schedule.with_body(Endpoint::Acks, &mut plan, body);
            Ok(poll::decide(&numbers, plan.ending(), |numbers| shared.books.acknowledge(channel, numbers)))
        });
        let reply = reply.unwrap_or_else(Reply::Answer);
        self.reader.consume(&extent);
        let ack_requests_failed = u64::from(!reply.succeeds());
        shared.books.count(&Counts { ack_requests: 1, ack_requests_failed, ..Counts::default() });
        self.reply(reply, head, &plan)
    }

    /// Lets a request in, and gives its channel where one is needed; else the answer that refuses it.
    fn enter(&self, head: &Head) -> Result<Option<u128>, Answer> {
        self.refusal(head).map_or(Ok(()), Err)?;
        if !self.shared.books.acknowledges() {
            return Ok(None);
        }
        let name = head.channel.as_deref().ok_or(Answer::code(10))?;
        guid(name).map(Some).ok_or(Answer::code(11))
    }

    /// Why a request is not let in.
    fn refusal(&self, head: &Head) -> Option<Answer> {
        let (shown, token) = (head.authorization.as_deref(), self.shared.token.read());
        match self.shared.part.play {
            Play::Splunk => refusal(shown, token.as_deref()),
            Play::Datadog => match shown.filter(|shown| !shown.is_empty()) {
                None => Some(Answer::plain(401)),
                Some(shown) => token.as_ref().is_some_and(|key| key.as_bytes() != shown).then(|| Answer::plain(403)),
            },
            Play::Elastic => unless_shown("ApiKey", token.as_deref(), shown),
            Play::Webhook => unless_shown("Bearer", token.as_deref(), shown),
        }
    }

    /// Reads what is to be read before a reset, and counts the request.
    fn reset_early(&mut self, head: &Head, reset: EarlyReset, failed: &Counts) -> Result<Next, Failure> {
        let read = match reset {
            EarlyReset::BeforeBody => Ok(()),
            EarlyReset::AmidBody => self.invite(head).and_then(|()| self.reader.half_body(&self.stream, head)),
        };
        self.shared.books.count(failed);
        read.map(|()| Next::Reset)
    }

    /// Brings a reply on its way, as late and as slowly as planned.
    fn reply(&mut self, reply: Reply, head: &Head, plan: &Plan<'_>) -> Result<Next, Failure> {
        if self.shared.stop.wait(plan.delay) {
            return Ok(Next::Close);
        }
        match reply {
            Reply::Answer(answer) => self.finish(&answer, head, plan),
            Reply::Garbage => {
                self.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n", plan.drip)?;
                Ok(Next::Close)
            }
            Reply::Silence => {
                self.clock.publish(&self.shared.books);
                while self.read_away().is_some() {}
                Ok(Next::Close)
            }
            Reply::Reset => Ok(Next::Reset),
        }
    }

    /// Decides about a request that is there as a whole, and takes what it brings.
    fn judge<'s>(
        &mut self,
        head: &Head,
        entry: Result<Option<u128>, Answer>,
        extent: &Extent,
        schedule: &'s Schedule,
        plan: &mut Plan<'s>,
    ) -> (Outcome, Counts) {
        let raw = self.reader.bytes(extent);
        let bytes = raw.len() as u64;
        let content = content(&mut self.inflater, raw, head, self.shared.content_length_max);
        let (channel, body) = match entry.and_then(|channel| content.map(|body| (channel, body))) {
            Ok(content) => content,
            Err(answer) => return (Outcome::nothing(Reply::Answer(answer)), Counts { bytes, ..Counts::default() }),
        };
        schedule.with_body(Endpoint::Events, plan, body);
        if plan.restart {
            self.shared.books.restart();
        }
        let mut outcome = reply::decide(&self.shared.part, body, plan.ending(), &mut self.found);
        let taken = self.found.get_mut(..outcome.taken).unwrap_or_default();
        let (took, ack_id) = if self.shared.part.play == Play::Elastic {
            (self.shared.books.create(body, taken), None)
        } else {
            let channel = channel.filter(|_| outcome.promises_acknowledgement());
            self.shared.books.take(body, taken, channel, &mut self.sorted)
        };
        if let Reply::Answer(answer) = &mut outcome.reply {
            answer.ack_id = ack_id;
            if self.shared.part.play == Play::Elastic {
                answer.tell_items(bulk::statuses(taken));
            }
        }
        let counts = Counts { bytes, bytes_inflated: body.len() as u64, unindexed: outcome.unindexed, ..took };
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
        answer.write(self.shared.part.play, announce, &mut out);
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

/// A body as its sender meant it.
fn content<'a>(inflater: &'a mut Inflater, raw: &'a [u8], head: &Head, bytes_max: usize) -> Result<&'a [u8], Answer> {
    match head.encoding {
        Encoding::Gzip if !raw.is_empty() => inflater.inflate(raw, bytes_max),
        Encoding::Identity | Encoding::Gzip => Ok(raw),
        Encoding::Other => Err(Answer::with(415, Body::Html)),
    }
}

/// A channel's name, which must be a GUID as Splunk writes it.
fn guid(name: &[u8]) -> Option<u128> {
    let is_hyphenated = name.len() == 36;
    Uuid::try_parse_ascii(name).ok().filter(|_| is_hyphenated).map(|uuid| uuid.as_u128())
}

/// Refuses a request that does not show the token in this scheme, where there is one.
fn unless_shown(scheme: &str, token: Option<&str>, shown: Option<&[u8]>) -> Option<Answer> {
    let wanted = token.map(|token| format!("{scheme} {token}"));
    wanted.filter(|wanted| shown != Some(wanted.as_bytes())).map(|_| Answer::plain(401))
}

/// Why a collector does not let a request in.
fn refusal(shown: Option<&[u8]>, token: Option<&str>) -> Option<Answer> {
    let Some(shown) = shown else { return Some(Answer::code(2)) };
    let Some(shown) = shown.strip_prefix(b"Splunk ").filter(|token| !token.is_empty()) else {
        return Some(Answer::code(3));
    };
    token.is_some_and(|token| token.as_bytes() != shown).then(|| Answer::code(4))
}
