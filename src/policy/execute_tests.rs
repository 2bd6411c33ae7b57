//! What is executed by a policy, in a time of the tests' own: nothing here waits, but for the stop.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::execute::Time;
use super::{Attempt, Failure, GaveUp, GaveUpReason, Jitter, RetryConfig, RetryPolicy};
use crate::net::{Http, HttpConfig, Stop};
use crate::siem::{Cause, CauseKind};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Passes when told to, and keeps the waits.
#[derive(Debug, Default)]
struct Told {
    now: Cell<Duration>,
    random: f64,
    /// How late a thread wakes.
    late: Duration,
    /// When each wait began, and how long it was to be.
    waits: RefCell<Vec<(Duration, Duration)>>,
}

impl Told {
    fn passes(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    fn waits(&self) -> Vec<Duration> {
        self.waits.borrow().iter().map(|(_, wait)| *wait).collect()
    }
}

impl Time for Told {
    fn elapsed(&self) -> Duration {
        self.now.get()
    }

    fn wait(&self, wait: Duration) {
        self.waits.borrow_mut().push((self.now.get(), wait));
        self.passes(wait + self.late);
    }

    fn random(&self) -> f64 {
        self.random
    }
}

fn policy(attempts: u32) -> RetryPolicy {
    let mut config = RetryConfig { retry_attempts: attempts, ..RetryConfig::default() };
    config.retry_jitter = Jitter::None;
    RetryPolicy::new(config)
}

/// Fails always, each time for `each`.
fn failing<E: Into<Failure>>(
    policy: &RetryPolicy,
    time: &Told,
    each: Duration,
    error: impl Fn() -> E,
) -> (GaveUp, Vec<Attempt>) {
    let mut attempts = Vec::new();
    let operation = |attempt| {
        attempts.push(attempt);
        time.passes(each);
        Err::<(), _>(error())
    };
    let gave_up = policy.execute_in(time, operation, |_, _| {}).unwrap_err();
    (gave_up, attempts)
}

#[test]
fn the_waits_are_the_originals_and_the_callback_hears_of_each_retry() {
    let (time, mut retries) = (Told::default(), Vec::new());
    let operation = |attempt: Attempt| {
        if attempt.number < 4 {
            Err(Cause::http(500 + u16::try_from(attempt.number).unwrap() * 2))
        } else {
            Ok("taken")
        }
    };
    let done = policy(9).execute_in(&time, operation, |attempt, cause| retries.push((attempt, cause.clone())));
    assert_eq!(done.unwrap(), "taken");
    assert_eq!(time.waits(), [secs(2), secs(4), secs(8)]);
    assert_eq!(retries, [(1, Cause::http(502)), (2, Cause::http(504)), (3, Cause::http(506))]);
}

#[test]
fn giving_up_says_the_last_cause_how_often_it_was_tried_and_why_not_once_more() {
    let time = Told::default();
    let named = policy(3).operation_name("send_batch");
    let (gave_up, attempts) = failing(&named, &time, secs(1), || Cause::http(503).words("Server is busy"));
    assert_eq!((gave_up.attempts, attempts.len(), gave_up.reason), (3, 3, GaveUpReason::AttemptsSpent));
    assert_eq!(gave_up.elapsed, secs(3 + 2 + 4));
    assert_eq!(
        gave_up.to_string(),
        "send_batch was given up after 3 attempts, all that it had: http_503: Server is busy"
    );

    let (gave_up, _) = failing(&named, &Told::default(), secs(1), || Cause::http(400));
    assert_eq!((gave_up.attempts, gave_up.reason), (1, GaveUpReason::NotRetryable));
    assert_eq!(gave_up.cause, Cause::http(400));
}

#[test]
fn a_retry_after_in_the_failure_is_honoured_up_to_its_ceiling() {
    for (asked, waited) in [(None, 2), (Some(secs(0)), 2), (Some(secs(30)), 30), (Some(secs(1_000_000_000)), 900)] {
        let time = Told::default();
        failing(&policy(2), &time, secs(0), || Failure::new(Cause::http(429)).after(asked));
        assert_eq!(time.waits(), [secs(waited)], "{asked:?}");
    }
}

/// Ten seconds, each attempt takes one: waits of 2 and 4 s fit, one of 8 s would not.
#[test]
fn no_wait_is_started_that_would_end_past_the_deadline() {
    let time = Told::default();
    let bounded = policy(9).deadline(secs(10)).attempt_timeout(secs(5));
    let (gave_up, attempts) = failing(&bounded, &time, secs(1), || Cause::http(503));
    assert_eq!(time.waits(), [secs(2), secs(4)]);
    assert_eq!((gave_up.attempts, gave_up.reason, gave_up.elapsed), (3, GaveUpReason::Deadline, secs(9)));
    let timeouts: Vec<_> = attempts.iter().map(|attempt| attempt.timeout).collect();
    assert_eq!(timeouts, [Some(secs(5)), Some(secs(5)), Some(secs(2))], "what is left, where that is less");

    let time = Told::default();
    let (gave_up, _) = failing(&bounded, &time, secs(1), || Failure::new(Cause::http(503)).after(Some(secs(9))));
    assert_eq!((time.waits().len(), gave_up.attempts, gave_up.elapsed), (0, 1, secs(1)), "patience that it has not");
}

#[test]
fn without_limits_an_attempt_is_told_of_none() {
    let (_, attempts) = failing(&policy(1), &Told::default(), secs(1), || Cause::http(503));
    assert_eq!(attempts, [Attempt { number: 1, timeout: None }]);
}

/// No time, and a thread that wakes too late: there is no attempt past the deadline.
#[test]
fn no_attempt_begins_past_the_deadline() {
    let (gave_up, attempts) = failing(&policy(9).deadline(secs(0)), &Told::default(), secs(1), || Cause::http(503));
    assert_eq!((attempts.len(), gave_up.attempts, gave_up.reason), (0, 0, GaveUpReason::Deadline));
    assert_eq!(gave_up.cause.kind(), CauseKind::Undelivered);

    let time = Told { late: secs(3), ..Told::default() };
    let (gave_up, attempts) = failing(&policy(9).deadline(secs(5)), &time, secs(1), || Cause::http(503));
    assert_eq!((attempts.len(), gave_up.reason), (1, GaveUpReason::Deadline));
    assert_eq!(gave_up.cause, Cause::http(503));
}

/// A callback that dawdles: it eats of the wait, and does not move its end.
#[test]
fn the_wait_ends_when_it_was_to_end_however_long_the_callback_took() {
    let time = Told::default();
    let begun = RefCell::new(Vec::new());
    let operation = |_| {
        begun.borrow_mut().push(time.now.get());
        Err::<(), _>(Cause::http(503))
    };
    policy(3).execute_in(&time, operation, |_, _| time.passes(secs(3))).unwrap_err();
    assert_eq!(*begun.borrow(), [secs(0), secs(3), secs(7)]);
    assert_eq!(time.waits(), [secs(0), secs(1)]);
}

#[test]
fn ten_thousand_failures_overflow_nothing() {
    let time = Told::default();
    let operation =
        |attempt: Attempt| if attempt.number <= 10_000 { Err(Cause::http(503)) } else { Ok(attempt.number) };
    assert_eq!(policy(u32::MAX).execute_in(&time, operation, |_, _| {}).unwrap(), 10_001);
    assert_eq!(time.now.get(), secs(2 + 4 + 8 + 16 + 32 + 60 * (10_000 - 5)));
}

#[test]
fn a_stop_before_the_first_attempt_or_within_one_leaves_no_other() {
    let stop = Stop::new();
    let until = policy(9).until(&stop);
    let time = Told::default();
    let within = |_| {
        stop.stop();
        Err::<(), _>(Cause::new(CauseKind::ConnectionReset))
    };
    let gave_up = until.execute_in(&time, within, |_, _| {}).unwrap_err();
    assert_eq!((gave_up.attempts, gave_up.reason, time.waits().len()), (1, GaveUpReason::Stopped, 0));

    let (gave_up, attempts) = failing(&until, &time, secs(1), || Cause::http(503));
    assert_eq!((gave_up.attempts, attempts.len(), gave_up.reason), (0, 0, GaveUpReason::Stopped));
}

/// In real time, by a wait of a minute.
#[test]
fn a_stop_ends_a_wait_at_once() {
    let (waits, waiting) = crossbeam_channel::bounded(1);
    let stop = Stop::new();
    let until = policy(2).until(&stop);
    let begun = Instant::now();
    let operation = |_| Err::<(), _>(Failure::new(Cause::http(503)).after(Some(secs(60))));
    let gave_up = std::thread::scope(|scope| {
        let executed = scope.spawn(|| until.execute(operation, |_, _| waits.send(()).unwrap()));
        waiting.recv().unwrap();
        stop.stop();
        executed.join().unwrap().unwrap_err()
    });
    assert_eq!((gave_up.attempts, gave_up.reason), (1, GaveUpReason::Stopped));
    assert!(begun.elapsed() < secs(30), "{:?}", begun.elapsed());
}

/// A client's error is a failure as it is, and without a stop a wait is slept through.
#[test]
fn a_request_without_an_answer_is_tried_again_in_real_time() {
    let mut config = RetryConfig { retry_attempts: 3, ..RetryConfig::default() };
    config.retry_jitter = Jitter::None;
    config.retry_backoff_max = Duration::from_millis(20);
    let stopped = Stop::new();
    stopped.stop();
    let connect = |_| Http::new(&"http://127.0.0.1:1".parse().unwrap(), &HttpConfig::default(), &stopped);
    let gave_up = RetryPolicy::new(config).execute(connect, |_, _| {}).unwrap_err();
    assert_eq!((gave_up.attempts, gave_up.reason), (3, GaveUpReason::AttemptsSpent), "{gave_up}");
    assert_eq!(gave_up.cause.kind(), CauseKind::Unreachable);
    assert!(gave_up.elapsed >= Duration::from_millis(40), "{:?}", gave_up.elapsed);
}

#[test]
fn each_reason_is_said_in_words() {
    let words = |attempts, reason| {
        let cause = Cause::http(503);
        GaveUp { operation_name: "ack", cause, attempts, reason, elapsed: Duration::ZERO }.to_string()
    };
    assert_eq!(
        words(2, GaveUpReason::Deadline),
        "ack was given up after 2 attempts, since the deadline leaves no time for another: http_503"
    );
    assert_eq!(words(1, GaveUpReason::Stopped), "ack was given up after 1 attempt, since it was stopped: http_503");
}

/// What one attempt comes to.
#[derive(Debug, Clone)]
enum Outcome {
    Success,
    Retryable(Option<Duration>),
    Final,
}

fn any_millis(max: u64) -> impl Strategy<Value = Duration> {
    (0..max).prop_map(Duration::from_millis)
}

fn any_policy() -> impl Strategy<Value = RetryPolicy> {
    let limit = |max| proptest::option::of(any_millis(max));
    let attempts = prop_oneof![4 => 1u32..10, 1 => Just(u32::MAX)];
    (attempts, 0.0..5.0f64, any_millis(100_000), any::<bool>(), any_millis(300_000), limit(400_000), limit(30_000))
        .prop_map(|(attempts, base, max, is_full, after_max, deadline, timeout)| {
            let mut policy = RetryPolicy::new(RetryConfig {
                retry_attempts: attempts,
                retry_backoff_base: base,
                retry_backoff_max: max,
                retry_jitter: if is_full { Jitter::Full } else { Jitter::None },
                retry_after_max: after_max,
            });
            policy.deadline = deadline;
            policy.attempt_timeout = timeout;
            policy
        })
}

fn any_script() -> impl Strategy<Value = Vec<(Duration, Outcome)>> {
    let outcome = prop_oneof![
        8 => proptest::option::of(any_millis(1_000_000)).prop_map(Outcome::Retryable),
        1 => Just(Outcome::Success),
        1 => Just(Outcome::Final),
    ];
    proptest::collection::vec((any_millis(40_000), outcome), 20)
}

proptest! {
    /// Whatever is set, and however often it fails: each attempt has its number, begins before the deadline and not
    /// before its wait is over, and the end has the one reason that it can have.
    #[test]
    fn every_attempt_is_in_order_and_in_time(
        policy in any_policy(),
        script in any_script(),
        random in 0.0..1.0f64,
        late in any_millis(2000),
        callback in any_millis(2000),
    ) {
        let time = Told { random, late, ..Told::default() };
        let (mut attempts, mut due) = (0, Duration::ZERO);
        let mut failed = Ok(());
        let operation = |attempt: Attempt| {
            let (takes, outcome) = script[attempts as usize % script.len()].clone();
            attempts += 1;
            let now = time.now.get();
            let left = policy.deadline.map(|deadline| deadline.checked_sub(now).filter(|left| !left.is_zero()));
            let is_right = attempt.number == attempts
                && now >= due
                && left != Some(None)
                && attempt.timeout == policy.attempt_timeout.into_iter().chain(left.flatten()).min();
            if !is_right && failed.is_ok() {
                failed = Err(format!("{attempt:?} at {now:?}, due {due:?}, as attempt {attempts}"));
            }
            time.passes(takes);
            match outcome {
                Outcome::Success => Ok(attempts),
                Outcome::Final => Err(Failure::new(Cause::http(400))),
                Outcome::Retryable(after) => {
                    due = time.now.get() + policy.wait(attempts + 1, random, after);
                    // Fifty failures are enough, where any number is allowed.
                    let kind = if attempts < 50 { CauseKind::Http(503) } else { CauseKind::Rejected };
                    Err(Failure::new(Cause::new(kind)).after(after))
                }
            }
        };
        let mut retries = Vec::new();
        let result = policy.execute_in(&time, operation, |attempt, _| {
            retries.push(attempt);
            time.passes(callback);
        });
        prop_assert_eq!(failed, Ok(()));
        for (from, wait) in time.waits.borrow().iter() {
            prop_assert!(policy.deadline.is_none_or(|deadline| wait.is_zero() || *from + *wait < deadline));
        }
        prop_assert!(retries.iter().copied().eq(1..=u32::try_from(retries.len()).unwrap()));
        let last = (attempts > 0).then(|| script[(attempts as usize - 1) % script.len()].1.clone());
        match result {
            Ok(number) => {
                prop_assert!(number == attempts && matches!(last, Some(Outcome::Success)));
                prop_assert_eq!(u32::try_from(retries.len()), Ok(attempts - 1));
            }
            Err(gave_up) => {
                prop_assert_eq!((gave_up.attempts, gave_up.elapsed), (attempts, time.now.get()));
                let is_past = policy.deadline.is_some_and(|deadline| due >= deadline || time.now.get() >= deadline);
                let expected = match last {
                    Some(Outcome::Final) => GaveUpReason::NotRetryable,
                    _ if attempts == 50 => GaveUpReason::NotRetryable,
                    Some(_) if attempts == policy.attempts() => GaveUpReason::AttemptsSpent,
                    _ => GaveUpReason::Deadline,
                };
                prop_assert_eq!(gave_up.reason, expected);
                prop_assert!(gave_up.reason != GaveUpReason::Deadline || is_past);
            }
        }
    }
}
