//! Two forwarders never write to one dead letter: the second does not start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use siem_forward::siem::{Cause, CauseKind, Verdict, from_fn};
use siem_forward::{AuditEvent, Builder, DeadLetterConfig, EventType, Forwarder, Severity, StartError};

/// To a destination that refuses everything.
fn forwarder(path: &Path) -> Builder {
    let refuse = |_: &siem_forward::Batch| Verdict::Reject(Cause::new(CauseKind::Rejected));
    Forwarder::builder(from_fn("refusing", refuse)).batch_size(1).dead_letter(DeadLetterConfig::new(path))
}

#[test]
fn the_second_forwarder_is_refused_until_the_first_has_drained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let first = forwarder(&path).start().unwrap();
    let error = forwarder(&path).start().unwrap_err();
    assert!(matches!(&error, StartError::DeadLetterInUse { holder: Some(id), .. } if *id == std::process::id()));
    let words = format!("the dead letter {} is in use by another forwarder of this process", path.display());
    assert!(error.to_string().starts_with(&words), "{error}");
    // An emitter that lives on holds nothing.
    let emitter = first.emitter();
    first.drain(Duration::from_secs(5));
    let second = forwarder(&path).start().unwrap();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    second.emitter().try_send(event).unwrap();
    assert_eq!(second.drain(Duration::from_secs(5)).ledger.dead_lettered, 1);
    drop(emitter);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no lock is left behind");
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = forwarder(&folder.path().join("absent/dead.ndjson")).start().unwrap_err();
    assert!(error.to_string().ends_with("dead.ndjson cannot be opened, make its folder first"), "{error}");
    let error = forwarder(folder.path()).start().unwrap_err();
    assert!(error.to_string().ends_with("cannot be opened, name a file"), "{error}");
}
