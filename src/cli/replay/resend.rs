//! One file, sent again: read by one thread, sent by the engine, watched by the main thread.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::target::Target;
use super::tracker::Tracker;
use crate::cli::backlog::Claimed;
use crate::cli::failure::Failure;
use crate::cli::selection::Selection;
use crate::cli::signals::Ended;
use crate::cli::survey::progress;
use crate::cli::tell;
use crate::dead_letter::{Attempts, Damage, Fates, Lines, RawLine, Record};
use crate::engine::{Builder, Forwarder, HandOver, Recorded, Report, Resender, Witness};
use crate::siem::{Cause, CauseKind};

/// What is left when nothing gets through is given up soon: it was waited for long enough.
const DRAIN_STALLED: Duration = Duration::from_secs(1);

/// What all files are sent with.
pub(super) struct Resend<'a> {
    pub(super) builder: &'a Builder,
    pub(super) target: &'a Target,
    pub(super) selection: &'a Selection,
    /// How long what is on its way is waited for in the end.
    pub(super) drain_timeout: Duration,
    /// How long nothing may become of what was sent, before the rest is not tried.
    pub(super) patience: Duration,
    pub(super) ended: &'a Ended,
}

/// What became of one file.
#[derive(Debug)]
pub(super) struct Resent {
    pub(super) file: PathBuf,
    /// Whether the file still has lines.
    pub(super) is_left: bool,
    /// Records that were to be sent, each id once.
    pub(super) offered: u64,
    pub(super) delivered: u64,
    /// Records that failed again, by cause.
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) unselected: u64,
    pub(super) foreign: u64,
    /// The file was not read to its end.
    pub(super) is_cut_short: bool,
    /// Nothing got through any more.
    pub(super) is_stalled: bool,
    /// What went wrong with the files.
    pub(super) error: Option<String>,
    /// What the engine says.
    pub(super) report: Report,
}

/// What reading the file came to.
#[derive(Debug, Default)]
struct Fed {
    offered: u64,
    unselected: u64,
    foreign: u64,
    is_cut_short: bool,
    error: Option<io::Error>,
}

impl Resend<'_> {
    /// Sends a file's records, and keeps what is left of it. `show` is called every now and then.
    ///
    /// # Errors
    /// When nothing could be begun.
    pub(super) fn file(
        &self,
        claimed: &Claimed,
        mut show: impl FnMut(&Tracker, &Forwarder),
    ) -> Result<Resent, Failure> {
        let progress = progress(&claimed.path);
        let open = |path: &PathBuf| {
            let path = path.clone();
            move |source| Failure::Open { path, source }
        };
        let mut lines = Lines::open(&claimed.path).map_err(open(&claimed.path))?;
        let tracker = Arc::new(Tracker::new(&progress, self.patience).map_err(open(&progress))?);
        let witness: Arc<dyn Witness> = Arc::<Tracker>::clone(&tracker);
        let (forwarder, resender) = self.builder.clone().start_replay(witness)?;
        let is_fed = AtomicBool::new(false);
        let (tracker, forwarder) = (&*tracker, &forwarder);
        let (fed, is_stalled, report) = thread::scope(|scope| {
            let is_fed = &is_fed;
            let work = scope.spawn(move || {
                let fed = self.feed(&mut lines, resender, tracker);
                let is_stalled = tracker.is_stalled();
                is_fed.store(true, Ordering::Release);
                let report = forwarder.drain(if is_stalled { DRAIN_STALLED } else { self.drain_timeout });
                (fed, is_stalled, report)
            });
            self.watch(tracker, forwarder, is_fed, || work.is_finished(), &mut show);
            // The feed does not panic; should it, what is known stands in the tracker.
            work.join().unwrap_or_else(|_| (Fed::default(), false, forwarder.abort()))
        });
        let (fates, error) = tracker.take();
        Ok(Self::keep(claimed, fed, is_stalled, report, tracker, (fates, error)))
    }

    fn watch(
        &self,
        tracker: &Tracker,
        forwarder: &Forwarder,
        is_fed: &AtomicBool,
        is_done: impl Fn() -> bool,
        show: &mut impl FnMut(&Tracker, &Forwarder),
    ) {
        let mut told = false;
        while !is_done() {
            thread::sleep(Duration::from_millis(20));
            if self.ended.is_asked() {
                tracker.stop();
                if !std::mem::replace(&mut told, true) {
                    tell("ending: what was sent is waited for; a second signal does not wait");
                }
            }
            // Not while something may still be handed over, which nobody would take.
            if self.ended.is_urged() && is_fed.load(Ordering::Acquire) {
                forwarder.abort();
            }
            show(tracker, forwarder);
        }
    }

    /// Hands over what is to be sent, and waits for its fate as long as there is hope.
    fn feed(&self, lines: &mut Lines, mut resender: Resender, tracker: &Tracker) -> Fed {
        let mut fed = Fed::default();
        match self.read(lines, &mut resender, tracker, &mut fed) {
            Ok(is_whole) => fed.is_cut_short = !is_whole,
            Err(error) => {
                fed.is_cut_short = true;
                fed.error = Some(error);
            }
        }
        // What is in the batch that is being filled goes too, unless it is to end.
        fed.is_cut_short |= !resender.flush(tracker);
        while tracker.in_flight() > 0 && tracker.may_wait() {
            thread::sleep(Duration::from_millis(5));
        }
        fed
    }

    /// False where it did not come to the end.
    fn read(&self, lines: &mut Lines, resender: &mut Resender, tracker: &Tracker, fed: &mut Fed) -> io::Result<bool> {
        // One event is sent once, however many records there are of it.
        let mut offered = HashSet::new();
        while let Some(RawLine { text, .. }) = lines.next()? {
            if tracker.is_stopped() {
                return Ok(false);
            }
            let Ok(record) = text.and_then(Record::parse) else {
                // Told before, and counted.
                continue;
            };
            if !self.selection.takes(&record) {
                fed.unselected += 1;
            } else if record.form.is_misfit() {
                // Told before, and counted.
            } else if !self.target.fits(&record) {
                fed.foreign += 1;
            } else if offered.insert(record.id) {
                fed.offered += 1;
                match send(&record, resender, tracker) {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(cause) => {
                        tracker.failed(&[record.id], &Attempts::none(cause));
                    }
                }
            }
        }
        Ok(true)
    }

    fn keep(
        claimed: &Claimed,
        fed: Fed,
        is_stalled: bool,
        report: Report,
        tracker: &Tracker,
        (mut fates, unnoted): (Fates, Option<io::Error>),
    ) -> Resent {
        let mut failed = BTreeMap::new();
        for failure in fates.failed.values().filter_map(|since| since.failure.as_ref()) {
            *failed.entry(failure.cause.clone()).or_default() += 1;
        }
        let file = claimed.path.display();
        let mut errors = Vec::new();
        errors.extend(fed.error.map(|error| format!("{file} cannot be read on: {error}")));
        errors.extend(unnoted.map(|error| format!("the progress of {file} cannot be written: {error}")));
        let left = claimed.keep(&mut fates);
        let is_left = *left.as_ref().unwrap_or(&1) > 0;
        errors.extend(left.err().map(|error| {
            format!(
                "{file} cannot be rewritten: {error}; it is as it was, and what was delivered stands in its progress"
            )
        }));
        Resent {
            file: claimed.path.clone(),
            is_left,
            offered: fed.offered,
            delivered: tracker.deliveries(),
            failed,
            unselected: fed.unselected,
            foreign: fed.foreign,
            is_cut_short: fed.is_cut_short,
            is_stalled,
            error: (!errors.is_empty()).then(|| errors.join("; ")),
            report,
        }
    }
}

/// Adds a record to what is sent; false where nobody takes any more.
fn send(record: &Record<'_>, resender: &mut Resender, tracker: &Tracker) -> Result<bool, Cause> {
    let event = Recorded { id: record.id, timestamp: record.event_time, severity: record.severity };
    if let Some(wire) = record.form.wire() {
        return resender.push(event, &wire, tracker);
    }
    let unreadable = |damage: Damage| Cause::new(CauseKind::Format).words(damage.to_string());
    let wire = resender.format(&record.form.event().map_err(unreadable)?)?;
    resender.push(event, &wire, tracker)
}
