//! T14: what is refused is told in the log while it is refused and when it is over, seldom, and with the count. One test:
//! a process has one logger.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::Duration;

use crate::apart::ran_apart;
use crate::support::{self, Hang, PATIENCE, Played, Received, fill, until, wait_until};
use log::{LevelFilter, Log, Metadata, Record};
use siem_forward::{EventType, Refused, Severity};

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn lines(text: &str) -> Vec<String> {
    LINES.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}

#[test]
fn refusals_are_logged_while_they_last_and_when_they_are_over_with_their_count() {
    if ran_apart() {
        return;
    }
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let received = Received::default();
    let mut hang = Hang::new();
    let mut played = Played::new(&received);
    let (hook, send_batch) = (hang.hook(), played.send_batch);
    played.send_batch = Box::new(move |batch| {
        hook();
        send_batch(batch)
    });
    let builder = support::builder(played).name("audit-eu").senders(1).batch_size(1).max_queue_size(8);
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = support::send(&emitter, 3);
    wait_until(&forwarder, |metrics| metrics.ledger.accepted == 3);
    sent.extend(fill(&emitter));
    for _ in 0..999 {
        let refused = emitter.event(EventType::UserLogin, Severity::Critical).try_send();
        assert!(matches!(refused, Err(Refused::Full(_))));
    }
    assert!(LINES.0.lock().unwrap().is_empty(), "no caller logs");
    // The batcher waits for a sender, and says so after a second.
    until(|| !lines("no room").is_empty());
    let refusing = lines("no room");
    assert_eq!(refusing, ["audit-eu: no room, 1000 events were refused so far: full 1 low 999 critical"]);
    // It goes on waiting, and says nothing new within ten seconds of the last word.
    for _ in 0..500 {
        drop(emitter.event(EventType::UserLogin, Severity::High).try_send());
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(lines("no room").len(), 1);

    hang.release();
    until(|| !lines("since the start").is_empty());
    let over = lines("since the start");
    assert_eq!(over.len(), 1, "{over:?}");
    assert!(over[0].starts_with("audit-eu: 1500 events were refused from 20"), "{over:?}");
    assert!(over[0].ends_with(", 1500 since the start: full 1 low 500 high 999 critical"), "{over:?}");
    let report = forwarder.drain(PATIENCE);
    assert!(report.ledger.balances(sent.len() as u64) && report.ledger.gaps == 1, "{report}");
}
