//! Why a pipeline is not healthy, since when, in a sentence. Each reason is lifted by its own remedy.

use std::time::Duration;

use parking_lot::Mutex;

use crate::siem::Health;

/// What the forwarder knows of itself and of its destination.
#[derive(Debug, Default)]
pub(crate) struct Vitals(Mutex<Troubles>);

#[derive(Debug, Default)]
struct Troubles {
    /// Lifted by a delivery.
    delivery: Option<Trouble>,
    /// Lifted by a health check that succeeds.
    check: Option<Trouble>,
    /// Never lifted: a worker panicked, or the dead letter failed.
    lasting: Option<Trouble>,
    checks_failed: u32,
    /// What failed last, whether or not it was a trouble, and when.
    last_error: Option<(String, u64)>,
}

#[derive(Debug)]
struct Trouble {
    reason: String,
    /// When it began, in monotonic nanoseconds.
    since: u64,
}

impl Trouble {
    /// The newest reason, and the oldest beginning.
    fn set(place: &mut Option<Self>, reason: String, now: u64) {
        let since = place.as_ref().map_or(now, |trouble| trouble.since);
        *place = Some(Self { reason, since });
    }

    fn sentence(&self, now: u64) -> String {
        format!("{}, for {}", self.reason, spoken(Duration::from_nanos(now.saturating_sub(self.since))))
    }
}

impl Vitals {
    /// Events do not get through, since `since`.
    pub(crate) fn not_delivering(&self, reason: String, since: u64) {
        Trouble::set(&mut self.0.lock().delivery, reason, since);
    }

    pub(crate) fn delivering(&self) {
        self.0.lock().delivery = None;
    }

    /// What can only be mended by people.
    pub(crate) fn lastingly(&self, reason: String, now: u64) {
        Trouble::set(&mut self.0.lock().lasting, reason, now);
    }

    /// A health check came to this; it turns red only after `failures_max` in a row.
    pub(crate) fn checked(&self, health: &Health, failures_max: u32, now: u64) {
        let troubles = &mut *self.0.lock();
        if health.healthy {
            troubles.checks_failed = 0;
            troubles.check = None;
            return;
        }
        troubles.checks_failed = troubles.checks_failed.saturating_add(1);
        if troubles.checks_failed >= failures_max {
            let failed = troubles.checks_failed;
            let words = health.error_message.as_deref().unwrap_or("it is not healthy");
            Trouble::set(&mut troubles.check, format!("{failed} health checks failed in a row: {words}"), now);
        }
    }

    /// A request or a health check failed.
    pub(crate) fn erred(&self, words: String, now: u64) {
        self.0.lock().last_error = Some((words, now));
    }

    /// What failed last, and how long ago.
    pub(crate) fn last_error(&self, now: u64) -> Option<(String, Duration)> {
        let troubles = self.0.lock();
        let (words, at) = troubles.last_error.as_ref()?;
        Some((words.clone(), Duration::from_nanos(now.saturating_sub(*at))))
    }

    /// What is known without asking the destination: the first reason that there is.
    pub(crate) fn health(&self, now: u64) -> Health {
        let troubles = self.0.lock();
        match troubles.delivery.as_ref().or(troubles.check.as_ref()).or(troubles.lasting.as_ref()) {
            Some(trouble) => Health::unhealthy(trouble.sentence(now)),
            None => Health::healthy(),
        }
    }
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn words(vitals: &Vitals, now: u64) -> Option<String> {
        vitals.health(now).error_message
    }

    #[test]
    fn a_trouble_says_why_and_since_when_until_its_remedy() {
        let vitals = Vitals::default();
        vitals.not_delivering("timeout".to_owned(), 5 * SECOND);
        vitals.not_delivering("http_401".to_owned(), 9 * SECOND);
        assert_eq!(words(&vitals, 205 * SECOND).as_deref(), Some("http_401, for 3 min 20 s"));
        vitals.delivering();
        assert!(vitals.health(206 * SECOND).healthy);
        vitals.lastingly("a panic".to_owned(), 0);
        vitals.delivering();
        assert_eq!(words(&vitals, 7_500 * SECOND).as_deref(), Some("a panic, for 2 h 5 min"));
    }

    #[test]
    fn checks_turn_red_after_so_many_in_a_row_and_green_with_the_first_that_succeeds() {
        let vitals = Vitals::default();
        let (bad, good) = (Health::unhealthy("queues are full"), Health::healthy());
        for health in [&bad, &bad, &good, &bad, &bad] {
            vitals.checked(health, 3, SECOND);
            assert!(vitals.health(SECOND).healthy);
        }
        vitals.checked(&bad, 3, 2 * SECOND);
        vitals.checked(&bad, 3, 3 * SECOND);
        let words = words(&vitals, 4 * SECOND).unwrap();
        assert_eq!(words, "4 health checks failed in a row: queues are full, for 2 s");
        vitals.checked(&good, 3, 5 * SECOND);
        assert!(vitals.health(5 * SECOND).healthy);
    }
}
