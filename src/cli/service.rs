//! What systemd is told, where it started the program: that it is ready, alive, what it does, and that it ends.
//!
//! The watchdog is fed by the main thread, and only while the engine's threads live: a program that carries nothing any
//! more is started again. While draining they end one by one, and the drain has a deadline of its own.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::figures::count;
use super::overall::Overall;
use crate::engine::{Fanout, Forwarder};

/// How often a status is told that has changed.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// What an end may take beyond the drain's own time.
const END: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Service {
    is_there: bool,
    watchdog: Option<Watchdog>,
    status: String,
    told: Option<Instant>,
    is_stopping: bool,
}

impl Service {
    /// Everything has started.
    pub(crate) fn ready(fanout: &Fanout) -> Self {
        let service = Self {
            is_there: is_there(),
            watchdog: Watchdog::of_service(),
            status: String::new(),
            told: None,
            is_stopping: false,
        };
        let destinations: Vec<&str> = fanout.forwarders().iter().map(Forwarder::destination).collect();
        let status = format!("forwarding to {}", destinations.join(", "));
        service.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        service
    }

    /// Called every now and then. `draining` is how long the end may still take, once it has begun.
    pub(crate) fn tick(&mut self, fanout: &Fanout, draining: Option<Duration>) {
        if !self.is_there {
            return;
        }
        let now = Instant::now();
        if let Some(left) = draining
            && !std::mem::replace(&mut self.is_stopping, true)
        {
            let micros = u32::try_from((left + END).as_micros()).unwrap_or(u32::MAX);
            self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
            self.told = None;
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.feed(self.is_stopping || fanout.forwarders().iter().all(Forwarder::is_alive));
        }
        if self.told.is_none_or(|told| now.duration_since(told) >= STATUS_EVERY) {
            let status = status(fanout, draining);
            if status != self.status {
                self.tell(&[NotifyState::Status(&status)]);
                self.status = status;
            }
            self.told = Some(now);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.is_there {
            notify(states);
        }
    }
}

/// Whether systemd started us and listens.
fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

fn notify(states: &[NotifyState<'_>]) {
    // Where systemd does not listen there is nobody to tell.
    drop(sd_notify::notify(false, states));
}

/// When the watchdog is to be fed: twice within its time.
#[derive(Debug)]
pub(crate) struct Watchdog {
    every: Duration,
    fed: Option<Instant>,
}

impl Watchdog {
    /// The one that watches this process, where one does.
    pub(crate) fn of_service() -> Option<Self> {
        let mut micros = 0;
        // What is not meant for this process is not ours to answer; the variables stay, nobody inherits them.
        let is_watched = is_there() && sd_notify::watchdog_enabled(false, &mut micros) && micros > 0;
        is_watched.then(|| Self::new(Duration::from_micros(micros)))
    }

    /// Feeds it where that is due.
    pub(crate) fn feed(&mut self, is_alive: bool) {
        if self.is_due(Instant::now(), is_alive) {
            notify(&[NotifyState::Watchdog]);
        }
    }

    fn new(timeout: Duration) -> Self {
        Self { every: timeout / 2, fed: None }
    }

    fn is_due(&mut self, now: Instant, is_alive: bool) -> bool {
        let is_due = is_alive && self.fed.is_none_or(|fed| now.duration_since(fed) >= self.every);
        if is_due {
            self.fed = Some(now);
        }
        is_due
    }
}

/// One short sentence.
fn status(fanout: &Fanout, draining: Option<Duration>) -> String {
    let overall = Overall::of(fanout);
    if let Some(left) = draining {
        return super::draining::sentence(overall.left(), left);
    }
    let delivered = format!("{} delivered, {} queued", count(overall.delivered()), count(overall.queued()));
    match overall.complaint() {
        Some(reason) => format!("{delivered}; {reason}").replace('\n', " "),
        None => delivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::siem::{Verdict, from_fn};

    /// What feeds the watchdog: threads that live.
    #[test]
    fn a_forwarder_is_alive_until_its_threads_end() {
        let forwarder = Forwarder::builder(from_fn("accepts", |_: &Batch| Verdict::Accept)).start().unwrap();
        assert!(forwarder.is_alive());
        forwarder.drain(Duration::from_secs(5));
        assert!(!forwarder.is_alive());
    }

    #[test]
    fn the_watchdog_is_fed_twice_within_its_time_and_only_by_the_living() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut watchdog = Watchdog::new(Duration::from_secs(2));
        let fed: Vec<u64> =
            (0..40).map(|tenth| tenth * 100).filter(|at| watchdog.is_due(after(*at), *at < 2_500)).collect();
        assert_eq!(fed, [0, 1_000, 2_000]);
        assert!(watchdog.is_due(after(4_000), true), "as soon as it lives again");
    }
}
