use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Open since `at(0)`, with a minute to wait, after as many failures as the default allows.
fn opened() -> CircuitBreaker {
    let breaker = CircuitBreaker::new(BreakerConfig::default());
    (0..5).for_each(|_| breaker.permit(at(0)).unwrap().failed(at(0), "connection refused"));
    breaker
}

fn state(breaker: &CircuitBreaker) -> BreakerState {
    breaker.status().state
}

#[cfg(not(loom))]
mod alone {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_anew() {
        let breaker = CircuitBreaker::new(BreakerConfig::default());
        for _ in 0..3 {
            (0..4).for_each(|_| breaker.permit(at(0)).unwrap().failed(at(0), "timeout"));
            breaker.permit(at(0)).unwrap().succeeded(at(0));
        }
        assert_eq!(state(&breaker), BreakerState::Closed);
        (0..5).for_each(|_| breaker.permit(at(9)).unwrap().failed(at(9), "timeout"));
        let status = breaker.status();
        assert_eq!((status.state, status.since, status.transitions), (BreakerState::Open, at(9), 1));
        assert_eq!(status.reason.as_deref(), Some("timeout"));
    }

    #[test]
    fn open_it_says_when_to_ask_again_and_then_lends_one_probe_a_second() {
        let breaker = opened();
        assert_eq!(breaker.permit(at(59)).unwrap_err(), at(60));
        let probe = breaker.permit(at(60)).unwrap();
        assert_eq!(state(&breaker), BreakerState::HalfOpen);
        assert!(breaker.permit(at(60)).is_err(), "one at a time");
        probe.succeeded(at(60));
        assert_eq!(breaker.permit(at(60)).unwrap_err(), at(61), "one a second");
        breaker.permit(at(61)).unwrap().succeeded(at(61));
        assert_eq!(state(&breaker), BreakerState::Closed);
        assert_eq!(breaker.status().reason, None);
        assert_eq!(breaker.status().transitions, 3);
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_break() {
        let breaker = opened();
        breaker.permit(at(60)).unwrap().succeeded(at(60));
        breaker.permit(at(61)).unwrap().failed(at(62), "http_503");
        assert_eq!(breaker.permit(at(121)).unwrap_err(), at(122));
        assert_eq!(breaker.status().reason.as_deref(), Some("http_503"));
    }

    #[test]
    fn a_refusal_opens_it_at_once() {
        let breaker = CircuitBreaker::new(BreakerConfig::default());
        breaker.permit(at(0)).unwrap().refused(at(0), "http_401");
        assert_eq!(state(&breaker), BreakerState::Open);
    }

    #[test]
    fn a_verdict_on_a_state_that_is_gone_counts_for_nothing() {
        let breaker = CircuitBreaker::new(BreakerConfig::default());
        let late: Vec<Permit> = (0..2).map(|_| breaker.permit(at(0)).unwrap()).collect();
        breaker.permit(at(0)).unwrap().refused(at(0), "http_401");
        let probe = breaker.permit(at(60)).unwrap();
        let [success, failure] = <[Permit; 2]>::try_from(late).unwrap();
        success.succeeded(at(60));
        failure.failed(at(60), "reset");
        assert_eq!(state(&breaker), BreakerState::HalfOpen);
        probe.succeeded(at(60));
        assert_eq!(state(&breaker), BreakerState::HalfOpen, "the late success is not one of the two");
    }

    #[test]
    fn a_permit_that_is_dropped_was_never_lent() {
        let breaker = opened();
        drop(breaker.permit(at(60)).unwrap());
        assert!(breaker.permit(at(61)).is_ok());
    }

    #[test]
    fn a_permit_lost_in_a_sender_that_hangs_is_void_after_its_time() {
        let breaker = opened();
        let lost = breaker.permit(at(60)).unwrap();
        assert!(breaker.permit(at(94)).is_err());
        let next = breaker.permit(at(95)).unwrap();
        lost.failed(at(96), "timeout");
        assert_eq!(state(&breaker), BreakerState::HalfOpen, "it speaks of the past");
        next.succeeded(at(96));
        breaker.permit(at(97)).unwrap().succeeded(at(97));
        assert_eq!(state(&breaker), BreakerState::Closed);
    }

    #[test]
    fn what_a_retry_after_asks_for_holds_in_every_state_and_the_longest_wins() {
        let breaker = CircuitBreaker::new(BreakerConfig::default());
        breaker.hold_back_until(at(7));
        breaker.hold_back_until(at(3));
        assert_eq!(breaker.permit(at(6)).unwrap_err(), at(7));
        assert_eq!(breaker.not_before(), at(7));
        assert!(breaker.permit(at(7)).is_ok());
        let breaker = opened();
        breaker.hold_back_until(at(90));
        assert_eq!(breaker.permit(at(60)).unwrap_err(), at(90));
        assert_eq!(breaker.not_before(), at(90));
    }

    #[test]
    fn hastened_it_is_half_open_at_once_and_its_breaks_are_a_second() {
        let breaker = opened();
        breaker.hasten(at(10));
        breaker.permit(at(10)).unwrap().failed(at(10), "connection refused");
        assert_eq!(breaker.permit(at(10)).unwrap_err(), at(11));
        breaker.permit(at(11)).unwrap().succeeded(at(11));
        breaker.permit(at(11)).unwrap().succeeded(at(11));
        assert_eq!(state(&breaker), BreakerState::Closed);
    }

    #[test]
    fn one_at_a_time_stays_so_and_pauses_after_a_failure() {
        let breaker = CircuitBreaker::one_at_a_time(SECOND, at(35));
        for _ in 0..3 {
            let permit = breaker.permit(at(1)).unwrap();
            assert!(breaker.permit(at(1)).is_err());
            permit.succeeded(at(1));
        }
        breaker.permit(at(1)).unwrap().failed(at(1), "refused");
        assert_eq!(breaker.permit(at(1)).unwrap_err(), at(2));
        let _hanging = breaker.permit_within(at(2), SECOND).unwrap();
        assert!(breaker.permit(at(3)).is_ok(), "void after its own time");
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Succeed,
        Fail,
        Refuse,
        Lose,
        Wait(u16),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Succeed),
            Just(Act::Fail),
            Just(Act::Refuse),
            Just(Act::Lose),
            (0..2000u16).prop_map(Act::Wait),
        ]
    }

    proptest! {
        /// Whatever happens, it never refuses without saying when to come back, and whoever does comes through.
        #[test]
        fn it_always_lends_again(acts in prop::collection::vec(act(), 0..200), failures in 0..7u32, successes in 0..4u32) {
            let config = BreakerConfig { failure_threshold: failures, success_threshold: successes, ..BreakerConfig::default() };
            let breaker = CircuitBreaker::new(config);
            let mut now = Duration::ZERO;
            let mut lost = Vec::new();
            for act in acts {
                if let Act::Wait(tenths) = act {
                    now += Duration::from_millis(u64::from(tenths) * 100);
                    continue;
                }
                let permit = loop {
                    match breaker.permit(now) {
                        Ok(permit) => break permit,
                        Err(later) => {
                            prop_assert!(later > now, "asking again at the same moment would spin");
                            now = later;
                        }
                    }
                };
                match act {
                    Act::Succeed => permit.succeeded(now),
                    Act::Fail => permit.failed(now, "failed"),
                    Act::Refuse => permit.refused(now, "refused"),
                    Act::Lose | Act::Wait(_) => lost.push(permit),
                }
            }
        }
    }
}

#[cfg(loom)]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    /// Senders probe a half-open breaker at once: one is out at any time, and the successes close it.
    #[test]
    fn model_one_probe_at_a_time_whoever_asks() {
        loom::model(|| {
            let breaker = opened();
            let out = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (breaker, out) = (breaker.clone(), Arc::clone(&out));
                    loom::thread::spawn(move || {
                        let Ok(permit) = breaker.permit(at(60)) else { return 0 };
                        assert_eq!(out.fetch_add(1, Ordering::AcqRel), 0, "two probes are out");
                        out.fetch_sub(1, Ordering::AcqRel);
                        permit.succeeded(at(60));
                        1
                    })
                })
                .collect();
            let probes: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(probes, 1, "the second one goes a second later");
            breaker.permit(at(60) + SECOND).unwrap().succeeded(at(60) + SECOND);
            assert_eq!(state(&breaker), BreakerState::Closed);
        });
    }

    /// A permit is lost in a sender that hangs. Whenever it comes back with its verdict, the breaker closes by those
    /// that came after it, and no verdict of the past opens or closes it.
    #[test]
    fn model_a_lost_permit_neither_blocks_nor_decides() {
        loom::model(|| {
            let breaker = opened();
            let lost = breaker.permit(at(60)).unwrap();
            let next = {
                let breaker = breaker.clone();
                loom::thread::spawn(move || {
                    // Refused where the hanging sender spoke first: its permit was not void yet.
                    if let Ok(permit) = breaker.permit(at(95)) {
                        permit.succeeded(at(95));
                    }
                })
            };
            let hanging = loom::thread::spawn(move || lost.failed(at(95), "timeout"));
            next.join().unwrap();
            hanging.join().unwrap();
            // If the hanging sender spoke before its permit was void, its failure stood: then it is open until 155.
            let status = breaker.status();
            let now = if status.state == BreakerState::Open { at(155) } else { at(96) };
            (0..2).for_each(|second| breaker.permit(now + at(second)).unwrap().succeeded(now + at(second)));
            assert_eq!(state(&breaker), BreakerState::Closed);
        });
    }

    /// Failures of several senders at once open it once.
    #[test]
    fn model_failures_at_once_open_it_once() {
        loom::model(|| {
            let breaker = CircuitBreaker::new(BreakerConfig { failure_threshold: 2, ..BreakerConfig::default() });
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let breaker = breaker.clone();
                    loom::thread::spawn(move || {
                        for _ in 0..2 {
                            let Ok(permit) = breaker.permit(at(0)) else { return };
                            permit.failed(at(0), "reset");
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let status = breaker.status();
            assert_eq!((status.state, status.transitions), (BreakerState::Open, 1));
        });
    }
}
