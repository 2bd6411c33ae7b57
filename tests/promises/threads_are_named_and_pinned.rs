//! The threads carry their names and run on their cores; a core that does not exist costs a warning and nothing else.
//! Alone in its process, whose threads and warnings are its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Mutex;

use crate::apart::ran_apart;
use crate::support::{self, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, send, until, workers};
use log::{Level, LevelFilter, Log, Metadata, Record};
use siem_forward::{Builder, Forwarder, Pin, SiemConfig};

/// Keeps what was logged.
struct Kept(Mutex<Vec<(Level, String)>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

#[test]
fn threads_are_named_pinned_and_gone_in_the_end() {
    if ran_apart() {
        return;
    }
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(LevelFilter::Trace);

    carries_with(
        |builder| builder.batchers(2).senders(3),
        |names, _| {
            assert_eq!(
                names,
                ["siem-batch-0", "siem-batch-1", "siem-health", "siem-send-0", "siem-send-1", "siem-send-2"]
            );
        },
    );

    let core = allowed("/proc/self/status").split([',', '-']).next().unwrap().parse().unwrap();
    let pin = |batchers, senders| {
        let mut pin = Pin::default();
        (pin.batchers, pin.senders) = (batchers, senders);
        pin
    };
    carries_with(
        |builder| builder.pin(pin(vec![core], vec![core])),
        |names, cores| {
            assert_eq!(names, ["siem-batch-0", "siem-health", "siem-send-0", "siem-send-1"]);
            assert_eq!([&cores[0], &cores[2]], [&core.to_string(); 2]);
            assert_eq!(cores[3], allowed("/proc/self/status"), "past the end of its list a thread is not pinned");
        },
    );
    assert_eq!(*KEPT.0.lock().unwrap(), [], "all is well, and nothing is logged");

    carries_with(|builder| builder.pin(pin(vec![9999], vec![core, usize::MAX])), |names, _| assert_eq!(names.len(), 4));
    let mut logged = KEPT.0.lock().unwrap().clone();
    logged.sort();
    let warnings = [
        "thread siem-batch-0 could not be pinned to core 9999: it runs unpinned".to_owned(),
        format!("thread siem-send-1 could not be pinned to core {}: it runs unpinned", usize::MAX),
    ];
    assert_eq!(logged, warnings.map(|warning| (Level::Warn, warning)));

    // Disabled, it has no threads at all, and its settings can be read back.
    let disabled = Forwarder::builder(Played::new(&Received::default())).enabled(false).start().unwrap();
    assert_eq!(workers(), []);
    assert!(!disabled.config().enabled);
    assert_eq!(disabled.config().batch, SiemConfig::default().batch);
}

/// Starts a forwarder, looks at its threads and their cores, and sees its events delivered and its threads gone.
fn carries_with(adapt: impl FnOnce(Builder) -> Builder, look: impl FnOnce(&[String], &[String])) {
    let received = Received::default();
    let forwarder = adapt(Forwarder::builder(Played::new(&received))).start().unwrap();
    let sent = send(&forwarder.emitter(), 1000);
    support::wait_until(&forwarder, |metrics| metrics.events_sent >= 500);
    let (names, tasks): (Vec<_>, Vec<_>) = workers().into_iter().unzip();
    let cores: Vec<String> = tasks.iter().map(|task| allowed(task.join("status").to_str().unwrap())).collect();
    look(&names, &cores);
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    until(|| workers().is_empty());
}

/// The cores that a thread may run on, as the system writes them.
fn allowed(status: &str) -> String {
    let status = std::fs::read_to_string(status).unwrap();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    cores.unwrap().trim().to_owned()
}
