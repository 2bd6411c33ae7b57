//! A refused token keeps the data, and a token that is a file is read again: whoever replaces the file mends it, without a
//! restart, and nothing is lost on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::path::PathBuf;
use std::time::Duration;

use siem_forward::Forwarder;
use siem_forward::net::Compression;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::{Splunk, SplunkError};

use crate::hec::{Letter, TOKEN, assert_balanced, builder, faults, ids, send_until_failed, wait_for_fates};
use crate::program::{self, Scene, TOKEN_VARIABLE, assert_received, lines};
use crate::support::{PATIENCE, send, until, wait_until};

/// No answer is waited for so long, even on a busy machine: what fails here fails by an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const OLD: &str = "1d1d1d1d-hunter-of-last-year";

fn collector(token: &str) -> Receiver {
    Receiver::start(ReceiverConfig { token: Some(token.to_owned()), ..ReceiverConfig::default() }).unwrap()
}

/// A file with a token in it.
struct TokenFile {
    folder: tempfile::TempDir,
}

impl TokenFile {
    fn with(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.replace(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// At once, as whoever rotates tokens does it.
    fn replace(&self, text: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }

    fn splunk(&self, receiver: &Receiver) -> Splunk {
        Splunk::token_file(receiver.url(), self.path()).unwrap().timeout(TIMEOUT).compression(Compression::None)
    }
}

fn complaint(forwarder: &Forwarder) -> String {
    let health = forwarder.health();
    let told = format!("{health:?} {:?} {forwarder:?}", forwarder.metrics());
    assert!(!told.contains("hunter") && !told.contains(TOKEN), "{told}");
    health.error_message.unwrap_or_default()
}

#[test]
fn a_wrong_token_is_replaced_in_its_file_and_everything_arrives() {
    let (receiver, file, letter) = (collector(TOKEN), TokenFile::with(OLD), Letter::new());
    let forwarder = builder(file.splunk(&receiver), &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 500);
    // More often than any batch may be charged with: a bad token is not a bad event.
    wait_until(&forwarder, |metrics| metrics.error_counts.get("http_403").is_some_and(|times| *times >= 30));
    assert!(complaint(&forwarder).contains("Invalid token (code 4)"), "{}", complaint(&forwarder));
    assert_eq!((receiver.counts().events, forwarder.metrics().events_failed), (0, 0));

    file.replace(&format!("{TOKEN}\n"));
    wait_for_fates(&forwarder, sent.len());
    assert_eq!(complaint(&forwarder), "");
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// Revoked on Splunk's side first, then replaced, three times over, under load.
#[test]
fn a_token_is_rotated_under_load_and_no_event_pays_for_it() {
    let (receiver, file, letter) = (collector(OLD), TokenFile::with(OLD), Letter::new());
    let forwarder = builder(file.splunk(&receiver), &letter).senders(3).batch_size(20).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 500);
    for round in 0..3 {
        let token = format!("{round}-hunter-of-this-year");
        let refused = forwarder.metrics().batches_failed;
        receiver.set_token(Some(token.clone()));
        sent.extend(send(&emitter, 1_000));
        wait_until(&forwarder, |metrics| metrics.batches_failed >= refused + 10);
        file.replace(&token);
        wait_for_fates(&forwarder, sent.len());
    }
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// One sender has to connect anew and finds no token, while the others go on with what they have.
#[test]
fn a_file_without_a_token_holds_events_back_until_it_has_one() {
    for content in [None, Some(""), Some("\n"), Some("hunter 2"), Some("hunter\nhunter\n"), Some("\u{0}hunter")] {
        let (receiver, file, letter) = (collector(TOKEN), TokenFile::with(TOKEN), Letter::new());
        let forwarder = builder(file.splunk(&receiver), &letter).senders(2).batch_size(5).start().unwrap();
        let emitter = forwarder.emitter();
        let mut sent = send(&emitter, 500);
        wait_for_fates(&forwarder, sent.len());

        match content {
            None => std::fs::remove_file(file.path()).unwrap(),
            Some(content) => file.replace(content),
        }
        // The connection's end makes a new one, and that reads the file; the other sender delivers on.
        receiver.set_faults(faults(&["reset:first=1"]));
        send_until_failed(&forwarder, "unreachable", 60, &mut sent);
        // What is delivered meanwhile speaks against it; in the end nothing is.
        let named = file.path().display().to_string();
        until(|| {
            let complaint = complaint(&forwarder);
            complaint.contains("there is no token: ") && complaint.contains(&named)
        });
        assert!(forwarder.metrics().events_failed == 0 && letter.records().is_empty());

        file.replace(TOKEN);
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(report.all_delivered() && letter.records().is_empty(), "{content:?}: {report}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// A good token is replaced by a wrong one, which one sender alone has to read. If the others went on with the good one,
/// what they deliver would be evidence against the events of the refused one.
#[test]
fn a_wrong_token_in_the_file_is_no_events_fault() {
    let (receiver, file, letter) = (collector(TOKEN), TokenFile::with(TOKEN), Letter::new());
    let forwarder = builder(file.splunk(&receiver), &letter).senders(3).batch_size(5).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 500);
    wait_for_fates(&forwarder, sent.len());
    file.replace(OLD);
    receiver.set_faults(faults(&["reset:first=1"]));
    send_until_failed(&forwarder, "http_403", 60, &mut sent);
    assert!(forwarder.metrics().events_failed == 0 && letter.records().is_empty());

    file.replace(TOKEN);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

#[test]
fn a_file_that_holds_no_token_at_the_beginning_is_named_and_not_shown() {
    for text in ["", "hunter 2", "hunter\nhunter"] {
        let file = TokenFile::with(text);
        let error = Splunk::token_file("http://127.0.0.1:1", file.path()).unwrap_err();
        assert!(matches!(error, SplunkError::TokenFile(_)));
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter"));
    }
    let error = Splunk::token_file("http://127.0.0.1:1", "/no/such").unwrap_err().to_string();
    assert!(error.starts_with("cannot read /no/such: "), "{error}");
}

#[test]
fn the_program_goes_on_when_the_file_is_replaced() {
    let (receiver, file) = (collector(program::TOKEN), TokenFile::with(OLD));
    let scene = Scene::new(&receiver.url(), "");
    let place = format!("file = \"{}\"", file.path().display());
    let config = scene.read("siem.toml").replace(&format!("env = \"{TOKEN_VARIABLE}\""), &place);
    scene.write("siem.toml", config + "breaker = { recovery_timeout_seconds = 0.05 }\n");
    let mut running = scene.start(&[]);
    running.feed(lines(0..2_000));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests_failed >= 5), "{:?}", receiver.counts());
    running.wait_for("Invalid token");
    file.replace(&format!("{}\r\n", program::TOKEN));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.events == 2_000), "{:?}", receiver.counts());
    running.feed(lines(2_000..2_500));
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.stderr.contains("hunter") && !ran.stdout.contains("hunter"), "{ran:?}");
    assert!(ran.stdout.contains("All 2,500 events were delivered"), "{}", ran.stdout);
    assert_received(&receiver, 0..2_500);
    assert!(scene.dead_letter().is_empty());
}
