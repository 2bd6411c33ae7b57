//! A file as a destination: what is delivered stands there, whole, once, and in the order of its writing; what cannot be
//! written waits, and is never half there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use siem_forward::siem::{File, Fsync};
use siem_forward::{DeadLetterConfig, EventId, StartError};

use crate::support::{self, PATIENCE, assert_one_fate_each, drain_in_time, send, wait_until};

/// What is in the folder but for locks, in the order of the names, the newest last.
fn files(folder: &Path, newest: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains("audit") && !path.to_string_lossy().ends_with(".lock"));
    files.sort_by_key(|path| (path.ends_with(newest), path.clone()));
    files
}

/// The ids in a file, each of whose lines must be whole.
fn ids(path: &Path) -> Vec<EventId> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    assert!(text.is_empty() || text.ends_with('\n'), "{}", path.display());
    let id = |line: &str| serde_json::from_str::<siem_forward::AuditEvent>(line).unwrap().id();
    text.lines().map(id).collect()
}

fn counted(files: &[PathBuf]) -> HashMap<EventId, u32> {
    let mut counted = HashMap::new();
    files.iter().flat_map(|path| ids(path)).for_each(|id| *counted.entry(id).or_default() += 1);
    counted
}

#[test]
fn every_event_stands_once_in_whole_lines_however_it_is_written_and_set_aside() {
    for (name, is_gzip, fsync) in [
        ("audit.ndjson", false, Fsync::Batch),
        ("audit.ndjson.gz", true, Fsync::Rotation),
        ("audit", false, Fsync::Never),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = File::new(folder.path().join(name)).gzip(is_gzip).fsync(fsync).rotate_bytes(20_000);
        let forwarder = support::builder(file).batch_size(50).senders(3).batchers(2).start().unwrap();
        let sent = send(&forwarder.emitter(), 5_000);
        let report = drain_in_time(&forwarder, PATIENCE);
        let files = files(folder.path(), name);
        assert!(files.len() > 5, "{files:?}");
        let held = counted(&files);
        assert!(held.len() == 5_000 && held.values().all(|times| *times == 1));
        assert_one_fate_each(&sent, &held, &Default::default(), &report);
        // Others may write there once it is drained.
        assert!(!folder.path().join(format!("{name}.lock")).exists());
    }
}

#[test]
fn with_one_batcher_and_one_sender_the_order_is_that_of_sending_across_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::new(folder.path().join("audit.ndjson")).rotate_bytes(10_000);
    let forwarder = support::builder(file).batch_size(20).senders(1).batchers(1).start().unwrap();
    let sent = send(&forwarder.emitter(), 1_000);
    assert!(drain_in_time(&forwarder, PATIENCE).all_delivered());
    let held: Vec<_> = files(folder.path(), "audit.ndjson").iter().flat_map(|path| ids(path)).collect();
    assert_eq!(held, sent);
}

#[test]
fn events_wait_while_the_disk_is_full_and_are_written_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let forwarder = support::builder(File::new(&path)).retry(support::impatient()).start().unwrap();
    let sent = send(&forwarder.emitter(), 100);
    wait_until(&forwarder, |metrics| metrics.error_counts.get("storage").is_some_and(|times| *times >= 3));
    let reason = forwarder.health().error_message.unwrap();
    assert!(reason.contains("No space left on device"), "{reason}");
    assert_eq!(forwarder.metrics().events_sent, 0);
    // Another disk is mounted there.
    std::fs::remove_file(&path).unwrap();
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_one_fate_each(&sent, &counted(&[path]), &Default::default(), &report);
    assert!(report.all_delivered(), "{report}");
}

#[test]
fn what_a_full_disk_does_not_take_until_the_end_is_in_the_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let builder = support::builder(File::new("/dev/full")).dead_letter(DeadLetterConfig::new(&letter));
    let forwarder = builder.batch_size(10).start().unwrap();
    let sent = send(&forwarder.emitter(), 300);
    let report = drain_in_time(&forwarder, Duration::from_millis(300));
    assert_one_fate_each(&sent, &HashMap::new(), &support::dead_letter(&letter), &report);
    assert_eq!(report.ledger.dead_lettered, 300, "{report}");
}

#[test]
fn a_folder_that_goes_away_holds_events_back_until_it_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("log");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("audit.ndjson");
    let forwarder = support::builder(File::new(&path)).retry(support::impatient()).start().unwrap();
    let first = send(&forwarder.emitter(), 10);
    wait_until(&forwarder, |metrics| metrics.events_sent == 10);
    std::fs::rename(&inner, folder.path().join("old")).unwrap();
    let second = send(&forwarder.emitter(), 10);
    wait_until(&forwarder, |metrics| metrics.error_counts.contains_key("storage"));
    std::fs::create_dir(&inner).unwrap();
    let report = drain_in_time(&forwarder, PATIENCE);
    let held = counted(&[folder.path().join("old/audit.ndjson"), path]);
    assert_one_fate_each(&[first, second].concat(), &held, &Default::default(), &report);
    assert!(report.all_delivered(), "{report}");
}

#[test]
fn a_second_forwarder_to_the_same_file_does_not_start_and_says_who_writes_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    let first = support::builder(File::new(&path)).start().unwrap();
    let error = support::builder(File::new(&path)).start().unwrap_err();
    assert!(matches!(error, StartError::Destination(_)), "{error}");
    assert!(error.to_string().contains("this process uses it already"), "{error}");
    drop(first);
    drop(support::builder(File::new(&path)).start().unwrap());
}
