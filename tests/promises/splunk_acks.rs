//! Splunk with indexer acknowledgement: delivered is what the indexer says is indexed, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use siem_forward::net::{Compression, HttpConfig, Stop};
use siem_forward::siem::{CauseKind, Splunk, SplunkConnection, Ticket};
use siem_forward::{AuditEvent, EventType, Severity, Siem, Verdict};

const TOKEN: &str = "00000000-0000-0000-0000-000000000000";
const DISABLED: &str = r#"{"text":"ACK is disabled","code":14}"#;

/// What becomes of the next request with events.
#[derive(Debug, Clone)]
enum Play {
    /// Taken, and the answer lost.
    TakeAndClose,
    /// Answered so, and nothing taken.
    Say(u16, &'static str),
}

/// An indexer's memory.
#[derive(Debug, Default)]
struct Memory {
    /// Of each channel, what it took: whether it is indexed, and not told yet.
    channels: HashMap<String, Vec<bool>>,
    play: VecDeque<Play>,
    /// What a question is answered, instead of the truth.
    answer_to_questions: Option<(u16, &'static str)>,
    /// Close at a question.
    is_mute: bool,
    /// Heads and bodies.
    requests: Vec<(String, String)>,
}

/// An indexer on loopback that does as Splunk does: it numbers by channel, and tells a true once.
#[derive(Clone)]
struct Indexer {
    url: String,
    memory: Arc<Mutex<Memory>>,
}

impl Indexer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let indexer = Self { url: format!("http://{}", listener.local_addr().unwrap()), memory: Arc::default() };
        let serving = indexer.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(&stream.unwrap()));
            }
        });
        indexer
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((head, body)) = read_request(&mut reader) {
            let path = head.split(' ').nth(1).unwrap();
            let channel = header(&head, "x-splunk-request-channel").unwrap();
            let mut memory = self.memory.lock().unwrap();
            let answer = if path == "/services/collector/event" {
                memory.take(&channel)
            } else {
                assert_eq!(path, format!("/services/collector/ack?channel={channel}"));
                memory.tell(&channel, &body)
            };
            memory.requests.push((head, body));
            drop(memory);
            let Some((status, body)) = answer else { return };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
            // In one piece: the kernel would hold back the second for 40 ms.
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// All that it took is indexed now.
    fn index(&self) {
        self.memory().channels.values_mut().flatten().for_each(|indexed| *indexed = true);
    }

    fn restart(&self) {
        self.memory().channels.clear();
    }

    fn play(&self, play: Play) {
        self.memory().play.push_back(play);
    }

    fn answer_to_questions(&self, status: u16, body: &'static str) {
        self.memory().answer_to_questions = Some((status, body));
    }

    /// How many requests brought events, and how many asked.
    fn counts(&self) -> (usize, usize) {
        let memory = self.memory();
        let asked = memory.requests.iter().filter(|(head, _)| head.contains("/ack?")).count();
        (memory.requests.len() - asked, asked)
    }

    fn splunk(&self) -> Splunk {
        Splunk::new(&self.url, TOKEN).unwrap().compression(Compression::None).ack(true)
    }
}

impl Memory {
    fn take(&mut self, channel: &str) -> Option<(u16, String)> {
        let play = self.play.pop_front();
        if let Some(Play::Say(status, body)) = play {
            return Some((status, body.to_owned()));
        }
        let taken = self.channels.entry(channel.to_owned()).or_default();
        taken.push(false);
        let answer = format!(r#"{{"text":"Success","code":0,"ackId":{}}}"#, taken.len() - 1);
        play.is_none().then_some((200, answer))
    }

    fn tell(&mut self, channel: &str, body: &str) -> Option<(u16, String)> {
        if self.is_mute {
            return None;
        }
        if let Some((status, body)) = self.answer_to_questions {
            return Some((status, body.to_owned()));
        }
        let question: serde_json::Value = serde_json::from_str(body).unwrap();
        let mut nothing = Vec::new();
        let taken = self.channels.get_mut(channel).unwrap_or(&mut nothing);
        let mut acks = serde_json::Map::new();
        for number in question["acks"].as_array().unwrap() {
            let indexed = taken.get_mut(usize::try_from(number.as_u64().unwrap()).unwrap());
            acks.insert(number.to_string(), indexed.is_some_and(std::mem::take).into());
        }
        Some((200, serde_json::json!({ "acks": acks }).to_string()))
    }
}

fn read_request(from: &mut impl BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut body = vec![0; header(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
    from.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).expect("nothing here is compressed")))
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

fn connect(splunk: &Splunk) -> SplunkConnection {
    splunk.connect(&Stop::new()).unwrap()
}

fn send(splunk: &Splunk, connection: &mut SplunkConnection) -> Verdict {
    splunk.send_event(connection, &AuditEvent::builder(EventType::UserLogin, Severity::Low).build())
}

fn ticket(verdict: &Verdict) -> Ticket {
    match verdict {
        Verdict::Pending(ticket) => *ticket,
        other => panic!("{other:?}"),
    }
}

fn send_some(splunk: &Splunk, connection: &mut SplunkConnection, count: usize) -> Vec<Ticket> {
    (0..count).map(|_| ticket(&send(splunk, connection))).collect()
}

/// What is known of these tickets; a question without an answer tells nothing.
fn settled(splunk: &Splunk, connection: &mut SplunkConnection, tickets: &[Ticket]) -> Vec<(Ticket, Verdict)> {
    splunk.settle(connection, tickets).unwrap_or_default()
}

fn accepted(verdicts: &[(Ticket, Verdict)]) -> Vec<Ticket> {
    assert!(verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Accept), "{verdicts:?}");
    verdicts.iter().map(|(ticket, _)| *ticket).collect()
}

/// The tickets that are to be sent again, and as possible duplicates.
fn forgotten(verdicts: &[(Ticket, Verdict)]) -> Vec<Ticket> {
    let is_forgotten = |verdict: &Verdict| match verdict {
        Verdict::Retry { after: None, cause } => {
            // A kind that says that the events may be held all the same.
            cause.kind() == CauseKind::ConnectionReset && cause.to_string().contains("the indexer has forgotten")
        }
        _ => false,
    };
    assert!(verdicts.iter().all(|(_, verdict)| is_forgotten(verdict)), "{verdicts:?}");
    verdicts.iter().map(|(ticket, _)| *ticket).collect()
}

#[test]
fn a_batch_is_delivered_when_it_is_acknowledged_and_not_before() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 3);
    assert_eq!(settled(&splunk, &mut connection, &tickets), []);
    // In the middle one first: acknowledgements come in any order.
    indexer.memory().channels.values_mut().next().unwrap()[1] = true;
    assert_eq!(accepted(&settled(&splunk, &mut connection, &tickets)), [tickets[1]]);
    indexer.index();
    let rest = [tickets[0], tickets[2]];
    assert_eq!(accepted(&settled(&splunk, &mut connection, &rest)), rest);

    let (sent, asked) =
        indexer.memory().requests.iter().cloned().partition::<Vec<_>, _>(|(head, _)| !head.contains("/ack?"));
    assert_eq!((sent.len(), asked.len()), (3, 3));
    assert_eq!(
        asked.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(),
        [r#"{"acks":[0,1,2]}"#, r#"{"acks":[0,1,2]}"#, r#"{"acks":[0,2]}"#]
    );
    let channel = header(&sent[0].0, "x-splunk-request-channel").unwrap();
    for (head, _) in &asked {
        assert!(head.starts_with(&format!("POST /services/collector/ack?channel={channel} HTTP/1.1\r\n")), "{head}");
        assert_eq!(header(head, "authorization"), Some(format!("Splunk {TOKEN}")));
        assert_eq!(header(head, "x-splunk-request-channel").as_ref(), Some(&channel));
        assert_eq!(header(head, "content-type").as_deref(), Some("application/json"));
    }
}

/// T2: others took an error of the question for the delivery of everything that waited.
#[test]
fn a_question_without_an_answer_delivers_nothing() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 2);
    for (status, body) in [
        (400, r#"{"text":"Invalid data channel","code":11}"#),
        (404, r#"{"text":"The requested URL was not found on this server.","code":404}"#),
        (200, "<html>maintenance</html>"),
        (200, r#"{"text":"Success","code":0}"#),
        (200, ""),
        (500, r#"{"acks":{"0":true,"1":true}}"#),
        (503, r#"{"text":"Server is busy","code":9}"#),
        (403, r#"{"text":"Invalid token","code":4}"#),
        (200, r#"{"acks":{"0":"true","1":1,"2":true}}"#),
    ] {
        indexer.answer_to_questions(status, body);
        assert_eq!(settled(&splunk, &mut connection, &tickets), [], "{status} {body}");
    }
    indexer.memory().is_mute = true;
    assert_eq!(settled(&splunk, &mut connection, &tickets), []);
    // Nor is anything forgotten over it.
    indexer.memory().is_mute = false;
    indexer.memory().answer_to_questions = None;
    indexer.index();
    assert_eq!(accepted(&settled(&splunk, &mut connection, &tickets)), tickets);
}

/// T5: a number that is used again belonged to a batch that nobody resolved, in others.
#[test]
fn a_number_that_is_used_again_resolves_the_batch_that_had_it() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let mut tickets = send_some(&splunk, &mut connection, 3);
    indexer.restart();
    // The new count's number 0, on the same channel: it is not known any more whose the acknowledgement would be.
    tickets.extend(send_some(&splunk, &mut connection, 1));
    indexer.index();
    let asked = indexer.counts().1;
    assert_eq!(forgotten(&settled(&splunk, &mut connection, &tickets)), tickets);
    assert_eq!(indexer.counts().1, asked, "there is nothing left to ask");

    // All four again, on a channel of which the indexer remembers everything.
    let again = send_some(&splunk, &mut connection, 4);
    assert!(again.iter().all(|ticket| !tickets.contains(ticket)));
    assert_eq!(settled(&splunk, &mut connection, &again), []);
    indexer.index();
    assert_eq!(accepted(&settled(&splunk, &mut connection, &again)), again);
}

/// T5, where the indexer took a batch after its restart and the answer was lost: its number is that of one that waits.
#[test]
fn a_batch_whose_answer_was_lost_acknowledges_no_other() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 2);
    indexer.restart();
    indexer.play(Play::TakeAndClose);
    assert!(matches!(send(&splunk, &mut connection), Verdict::Retry { .. }));
    indexer.index();
    // The indexer would say true of number 0, and means another batch.
    assert_eq!(forgotten(&settled(&splunk, &mut connection, &tickets)), tickets[..1]);
    let asked = indexer.memory().requests.last().cloned().unwrap();
    assert_eq!(asked.1, r#"{"acks":[1]}"#);
}

#[test]
fn a_lost_answer_costs_one_batch_and_no_more() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let mut tickets = send_some(&splunk, &mut connection, 5);
    indexer.play(Play::TakeAndClose);
    assert!(matches!(send(&splunk, &mut connection), Verdict::Retry { .. }));
    tickets.extend(send_some(&splunk, &mut connection, 5));
    indexer.index();
    let verdicts = settled(&splunk, &mut connection, &tickets);
    let (gone, held) = verdicts.into_iter().partition::<Vec<_>, _>(|(ticket, _)| *ticket == tickets[0]);
    assert_eq!((forgotten(&gone), accepted(&held)), (tickets[..1].to_vec(), tickets[1..].to_vec()));
}

#[test]
fn a_refusal_costs_no_batch_that_waits() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 2);
    indexer.play(Play::Say(429, r#"{"text":"HEC ACK channel is at capacity","code":27}"#));
    indexer.play(Play::Say(403, r#"{"text":"Invalid token","code":4}"#));
    indexer.play(Play::Say(413, ""));
    assert!(matches!(send(&splunk, &mut connection), Verdict::Retry { .. }));
    assert!(matches!(send(&splunk, &mut connection), Verdict::Halt(_)));
    assert!(matches!(send(&splunk, &mut connection), Verdict::Reject(_)));
    indexer.index();
    assert_eq!(accepted(&settled(&splunk, &mut connection, &tickets)), tickets);
}

#[test]
fn a_thousand_numbers_are_one_question_and_never_compressed() {
    let indexer = Indexer::start();
    // More than an event has bytes, and less than a question.
    let mut http = HttpConfig::default();
    http.compression_bytes_min = 1_500;
    let splunk = indexer.splunk().http(http);
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 2_001);
    indexer.index();
    assert_eq!(accepted(&settled(&splunk, &mut connection, &tickets)), tickets);
    let memory = indexer.memory();
    let questions = memory.requests.iter().filter(|(head, _)| head.contains("/ack?"));
    let sizes: Vec<_> = questions.clone().map(|(_, body)| body.split(',').count()).collect();
    assert_eq!(sizes, [1_000, 1_000, 1]);
    assert!(questions.clone().any(|(_, body)| body.len() > 1_500));
    assert!(questions.clone().all(|(head, _)| header(head, "content-encoding").is_none()));
}

#[test]
fn tickets_that_are_not_asked_for_any_more_are_not_asked_about() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 3);
    assert_eq!(settled(&splunk, &mut connection, &tickets[2..]), []);
    assert_eq!(indexer.memory().requests.last().unwrap().1, r#"{"acks":[2]}"#);
    indexer.index();
    // Given up means given up: it would be delivered and sent again.
    let verdicts = settled(&splunk, &mut connection, &tickets);
    assert_eq!(forgotten(&verdicts[..2]), tickets[..2]);
    assert_eq!(accepted(&verdicts[2..]), tickets[2..]);
    assert_eq!(settled(&splunk, &mut connection, &[]), []);
}

/// Whatever the engine does: a ticket of a connection that is gone is not taken for one of the next.
#[test]
fn a_ticket_of_another_connection_is_forgotten() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let tickets = send_some(&splunk, &mut connect(&splunk), 2);
    let mut connection = connect(&splunk);
    let own = send_some(&splunk, &mut connection, 2);
    indexer.index();
    let verdicts = settled(&splunk, &mut connection, &[tickets.clone(), own.clone()].concat());
    assert_eq!((forgotten(&verdicts[..2]), accepted(&verdicts[2..])), (tickets, own));
}

/// The token takes events and acknowledges none: they are not delivered, and not sent over and over.
#[test]
fn a_token_without_acknowledgement_halts_and_gets_no_more_events_until_it_has_it() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    indexer.play(Play::Say(200, r#"{"text":"Success","code":0}"#));
    indexer.answer_to_questions(400, DISABLED);
    for _ in 0..5 {
        let Verdict::Halt(cause) = send(&splunk, &mut connection) else { panic!() };
        let words = cause.as_words().unwrap();
        assert!(words.starts_with("the token has no indexer acknowledgement: switch it on"), "{words}");
        assert!(words.contains("or set ack = false"), "{words}");
    }
    // Nor by another sender.
    assert!(matches!(send(&splunk, &mut connect(&splunk)), Verdict::Halt(_)));
    assert_eq!(indexer.counts().0, 1, "the events were sent once");

    indexer.answer_to_questions(503, r#"{"text":"Server is busy","code":9}"#);
    assert!(matches!(send(&splunk, &mut connection), Verdict::Retry { .. }));
    indexer.answer_to_questions(200, r#"{"text":"Success","code":0}"#);
    assert!(matches!(send(&splunk, &mut connection), Verdict::Halt(_)));
    assert_eq!(indexer.counts().0, 1);
    indexer.memory().answer_to_questions = None;
    let tickets = send_some(&splunk, &mut connection, 2);
    indexer.index();
    assert_eq!(accepted(&settled(&splunk, &mut connection, &tickets)), tickets);
}

/// Acknowledgement is switched off while batches wait for it.
#[test]
fn a_token_that_stops_acknowledging_is_noticed_by_the_question() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk();
    let mut connection = connect(&splunk);
    let tickets = send_some(&splunk, &mut connection, 2);
    indexer.answer_to_questions(400, DISABLED);
    assert_eq!(settled(&splunk, &mut connection, &tickets), []);
    assert!(matches!(send(&splunk, &mut connection), Verdict::Halt(_)));
    assert_eq!(indexer.counts().0, 2, "not sent where nobody would acknowledge it");
}

#[test]
fn without_acknowledgement_a_number_is_no_ticket() {
    let indexer = Indexer::start();
    let splunk = indexer.splunk().ack(false);
    let mut connection = connect(&splunk);
    for _ in 0..3 {
        assert_eq!(send(&splunk, &mut connection), Verdict::Accept);
    }
    assert_eq!(indexer.counts(), (3, 0));
}
