//! Several forwarders that get the same events: each its own destination, threads, books and failure domain.
//!
//! An event is offered to each destination that wants it: the others get a copy, made in a buffer of their own pool, the last
//! one gets the event itself, and its id is the same everywhere. Nobody waits for anybody: a destination that has no room
//! refuses, and that is told by its name. Used by services, and by `run`.

mod destinations;
mod emitter;
mod not_taken;
mod places;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use prometheus::Registry;

use super::forwarder::Forwarder;
use super::report::Report;
use crate::ledger::RegisterError;
use destinations::Destinations;
pub use emitter::FanoutEmitter;
pub use not_taken::NotTaken;
pub(crate) use places::DESTINATIONS_MAX;

/// Several [`Forwarder`]s, to which each event goes.
///
/// ```
/// use std::time::Duration;
/// use siem_forward::policy::Filter;
/// use siem_forward::{EventType, Fanout, Forwarder, Severity, Verdict, siem};
///
/// let all = Forwarder::builder(siem::from_fn("all", |_| Verdict::Accept)).start()?;
/// let grave = Forwarder::builder(siem::from_fn("grave", |_| Verdict::Accept))
///     .filter(Filter::default().severity_min(Severity::High))
///     .start()?;
/// let fanout = Fanout::new([all, grave])?;
/// let emitter = fanout.emitter();                          // one for each thread
///
/// if let Err(not_taken) = emitter.event(EventType::UserLogin, Severity::Low).user_id("u-17").try_send() {
///     eprintln!("{not_taken}");                            // by name, who lacks it and why
/// }
/// let reports = fanout.drain(Duration::from_secs(30));     // all at once
/// assert_eq!(reports.iter().map(|report| report.ledger.delivered).collect::<Vec<_>>(), [1, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What one destination does is no other's business: where one hangs, its ring fills up, and then its events are refused, as
/// its own `overflow` says, while the others go on. Dropping a fan-out drains all at once, each within its `drain_timeout`.
pub struct Fanout {
    forwarders: Vec<Forwarder>,
}

/// Why forwarders are no fan-out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FanoutError {
    /// There is none.
    #[error("a fan-out has one destination at least")]
    Empty,
    /// There are too many.
    #[error("a fan-out has at most {DESTINATIONS_MAX} destinations, not {count}")]
    TooMany {
        /// So many.
        count: usize,
    },
    /// Two have one name, so that nobody could tell what is said of which: see [`Builder::name`](crate::Builder::name).
    #[error("two destinations are called {name}: give each a name of its own")]
    NameTaken {
        /// The name.
        name: String,
    },
}

impl Fanout {
    /// Of these forwarders, 1 to 32, each with a name of its own.
    ///
    /// # Errors
    /// Where there are none or too many, or two have one name. They are drained then, as when they are dropped.
    pub fn new(forwarders: impl IntoIterator<Item = Forwarder>) -> Result<Self, FanoutError> {
        let fanout = Self { forwarders: forwarders.into_iter().collect() };
        let count = fanout.forwarders.len();
        if count == 0 {
            return Err(FanoutError::Empty);
        }
        if count > DESTINATIONS_MAX {
            return Err(FanoutError::TooMany { count });
        }
        let mut names = HashSet::new();
        let again = fanout.forwarders.iter().map(Forwarder::name).find(|name| !names.insert(*name));
        match again.map(str::to_owned) {
            Some(name) => Err(FanoutError::NameTaken { name }),
            None => Ok(fanout),
        }
    }

    /// An emitter, bound to one of the rings of each destination in turn.
    pub fn emitter(&self) -> FanoutEmitter {
        let emitters: Box<[_]> = self.forwarders.iter().map(Forwarder::emitter).collect();
        let any_blocks = emitters.iter().any(|emitter| emitter.gate.block.is_some());
        let is_home = |forwarder: &Forwarder| forwarder.config.enabled && forwarder.config.filter.takes_all();
        let home = self.forwarders.iter().rposition(is_home).unwrap_or(self.forwarders.len().saturating_sub(1));
        FanoutEmitter { to: Arc::new(Destinations { emitters, home, any_blocks }) }
    }

    /// Each for itself, in the order in which they were given: metrics, health and configuration are theirs.
    pub fn forwarders(&self) -> &[Forwarder] {
        &self.forwarders
    }

    /// Shows the metrics of all in a registry, each under its name; see [`Forwarder::register`].
    ///
    /// # Errors
    /// [`RegisterError::NameTaken`] when the registry shows a pipeline of such a name already.
    pub fn register(&self, registry: &Registry) -> Result<(), RegisterError> {
        self.forwarders.iter().try_for_each(|forwarder| forwarder.register(registry))
    }

    /// Drains all of them at once, by one deadline; see [`Forwarder::drain`]. The reports are in the order in which the
    /// forwarders were given.
    pub fn drain(&self, timeout: Duration) -> Vec<Report> {
        let begun = Instant::now();
        let drain = |forwarder: &Forwarder| forwarder.drain(timeout.saturating_sub(begun.elapsed()));
        let Some((first, others)) = self.forwarders.split_first() else { return Vec::new() };
        if others.is_empty() || self.is_elsewhere() {
            return self.forwarders.iter().map(drain).collect();
        }
        thread::scope(|scope| {
            let drain = &drain;
            let drains: Vec<_> = others
                .iter()
                .map(|forwarder| {
                    let thread = thread::Builder::new().name("siem-drain".to_owned());
                    (forwarder, thread.spawn_scoped(scope, move || drain(forwarder)).ok())
                })
                .collect();
            let mut reports = vec![drain(first)];
            // Where no thread was to be had, one after the other; a second call returns the report of the first.
            reports.extend(drains.into_iter().map(|(forwarder, thread)| {
                thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| drain(forwarder))
            }));
            reports
        })
    }

    /// Ends all of them now; see [`Forwarder::abort`].
    pub fn abort(&self) -> Vec<Report> {
        self.drain(Duration::ZERO)
    }

    /// Whether this is a forked child, where threads of ours are touched as little as started.
    fn is_elsewhere(&self) -> bool {
        self.forwarders.iter().any(|forwarder| forwarder.started_in.is_elsewhere())
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        let is_elsewhere = self.is_elsewhere();
        let mut forwarders = std::mem::take(&mut self.forwarders);
        let last = forwarders.pop();
        if !is_elsewhere {
            thread::scope(|scope| {
                for forwarder in forwarders.drain(..) {
                    let thread = thread::Builder::new().name("siem-drain".to_owned());
                    // Where no thread is to be had, what it was to do is dropped here, and so is the forwarder.
                    drop(thread.spawn_scoped(scope, move || drop(forwarder)));
                }
                drop(last);
            });
        }
    }
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.forwarders.iter().map(Forwarder::name)).finish()
    }
}
