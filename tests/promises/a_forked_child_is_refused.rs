//! In a child forked after start an emitter refuses, and a forwarder touches no thread and no file. One test: a fork copies
//! one thread only, so that none other may run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::apart::ran_apart;
use crate::support::{self, NONE_DEAD, PATIENCE, Received, assert_one_fate_each, dead_letter, scripted};
use fork::{Fork, fork, waitpid_nohang};
use rustix::process::{Pid, Signal, kill_process};
use siem_forward::policy::Overflow;
use siem_forward::{
    AuditEvent, Cause, DeadLetterConfig, Emitter, EventId, EventType, Forwarder, Ledger, Refused, Report, Severity,
    Verdict,
};

/// T13: no worker lives in the child, so none may seem to.
#[test]
fn a_forked_child_is_refused_and_touches_nothing_of_its_parents() {
    if ran_apart() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let start = |verdict: Verdict, path: &Path| {
        let destination = scripted(&received, move |_| verdict.clone());
        // Nobody waits for room in a child, whatever the policy.
        let builder = support::builder(destination).overflow(Overflow::Block { timeout: PATIENCE }).max_queue_size(20);
        builder.dead_letter(DeadLetterConfig::new(path)).batch_size(1).start().unwrap()
    };
    // One that delivers, and one that holds events which a drain would write down.
    let delivering = start(Verdict::Accept, &path);
    let other = directory.path().join("other.ndjson");
    let holding = start(Verdict::retry(Cause::http(503)), &other);
    let mut sent = support::send(&delivering.emitter(), 10);
    let held = support::send(&holding.emitter(), 10);

    let child_ids = directory.path().join("ids");
    match fork().unwrap() {
        Fork::Child => in_child(delivering, holding, &child_ids, &[path, other]),
        Fork::Parent(child) => {
            sent.extend(support::send(&delivering.emitter(), 500));
            assert_eq!(exit_code(child), 0, "what the child found is above");
        }
    }
    let theirs: HashSet<u128> =
        std::fs::read_to_string(&child_ids).unwrap().lines().map(|id| id.parse().unwrap()).collect();
    assert_eq!(theirs.len(), 500);
    assert!(sent.iter().all(|id| !theirs.contains(&random_part(*id))), "the child draws other ids");

    let report = delivering.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&path), &report);
    let report = holding.abort();
    assert_one_fate_each(&held, &HashMap::new(), &dead_letter(&other), &report);
    assert_eq!(report.ledger.dead_lettered, 10, "the child has left them to its parent");
}

/// What is random in an id of version 7: equal times alone do not make two ids differ.
fn random_part(id: EventId) -> u128 {
    id.as_u128() & ((1 << 62) - 1)
}

/// Never returns: a child must not go on with its parent's tests.
fn in_child(delivering: Forwarder, holding: Forwarder, ids: &Path, letters: &[PathBuf]) -> ! {
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let emitter = delivering.emitter();
        // The first event already, also by the other forwarder and a clone; and ids are drawn anew.
        refused_as_forked(&emitter);
        let offered: Vec<AuditEvent> = (0..500).map(|_| refused_as_forked(&emitter.clone())).collect();
        refused_as_forked(&holding.emitter());
        let drawn: Vec<String> = offered.iter().map(|event| random_part(event.id()).to_string()).collect();
        std::fs::write(ids, drawn.join("\n")).unwrap();
        assert!(matches!(emitter.send_timeout(event(), PATIENCE), Err(Refused::Forked(_))));

        let before: Vec<_> = letters.iter().map(std::fs::read).collect::<Result<_, _>>().unwrap();
        let begun = Instant::now();
        assert_eq!(holding.drain(PATIENCE).ledger, Ledger::default());
        let report: Report = holding.abort();
        assert!(report.threads_left.is_empty() && !report.deadline_reached);
        drop(holding);
        drop(delivering);
        assert!(begun.elapsed() < Duration::from_millis(500), "there is nothing to wait for: {:?}", begun.elapsed());
        let after: Vec<_> = letters.iter().map(std::fs::read).collect::<Result<_, _>>().unwrap();
        assert_eq!(before, after, "no file is touched");
        refused_as_forked(&emitter);

        // A forwarder of the child's own works.
        let received = Received::default();
        let own = support::builder(scripted(&received, |_| Verdict::Accept)).start().unwrap();
        let sent = support::send(&own.emitter(), 100);
        let report = own.drain(PATIENCE);
        assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    }));
    std::process::exit(i32::from(found.is_err()))
}

fn event() -> AuditEvent {
    AuditEvent::builder(EventType::UserLogin, Severity::Low).build()
}

fn refused_as_forked(emitter: &Emitter) -> AuditEvent {
    match emitter.try_send(event()) {
        Err(Refused::Forked(event)) => event,
        other => panic!("{other:?}"),
    }
}

/// The child's exit code, once it has ended; it is killed if it does not.
fn exit_code(child: i32) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = waitpid_nohang(child).unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
