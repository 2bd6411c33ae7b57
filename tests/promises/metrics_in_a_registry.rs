//! A forwarder in a Prometheus registry: every family is there from the first scrape, no scrape shows more fates than
//! events, and at rest the counters are what the destination holds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "Prometheus has floats only: these are whole numbers")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus::{Registry, TextEncoder};
use siem_forward::ledger::{LostReason, RefusedReason, RegisterError};
use siem_forward::siem::{CauseKind, Partial};
use siem_forward::{AuditEvent, Cause, DeadLetterConfig, EventType, Forwarder, Severity, Verdict, siem};

use crate::exposition::Scrape;
use crate::support::{self, PATIENCE, Received, assert_one_fate_each, dead_letter, impatient, scripted};

const ELEVEN: [(&str, &str, &[&str]); 11] = [
    ("siem_events_sent_total", "counter", &[]),
    ("siem_events_failed_total", "counter", &[]),
    ("siem_events_dropped_total", "counter", &["reason", "severity"]),
    ("siem_batches_sent_total", "counter", &[]),
    ("siem_batches_failed_total", "counter", &["error_type"]),
    ("siem_send_latency_seconds", "histogram", &[]),
    ("siem_health_check_latency_seconds", "histogram", &[]),
    ("siem_retry_attempts_total", "counter", &["operation"]),
    ("siem_queue_size", "gauge", &[]),
    ("siem_current_batch_size", "gauge", &[]),
    ("siem_health_status", "gauge", &[]),
];

fn scrape(registry: &Registry) -> Scrape {
    Scrape::parse(&TextEncoder::new().encode_to_string(&registry.gather()).unwrap())
}

fn registered(forwarder: &Forwarder) -> Registry {
    let registry = Registry::new();
    forwarder.register(&registry).unwrap();
    registry
}

fn accepting(received: &Received) -> siem_forward::Builder {
    support::builder(scripted(received, |_| Verdict::Accept))
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Nobody has to wait for the first event of a kind to see its series.
#[test]
fn at_the_first_scrape_every_family_has_its_samples_and_all_counts_are_zero() {
    let forwarder = accepting(&Received::default()).name("payments").max_queue_size(300).start().unwrap();
    let first = scrape(&registered(&forwarder));
    for (name, kind, labels) in ELEVEN {
        assert_eq!(first.kinds[name], kind);
        let sample = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        for (theirs, _) in first.of(&sample) {
            let names: BTreeSet<String> = theirs.keys().cloned().collect();
            assert_eq!(names, set(&[&["siem_type", "pipeline"], labels].concat()), "{name}");
            assert_eq!((theirs["siem_type"].as_str(), theirs["pipeline"].as_str()), ("scripted", "payments"));
        }
    }
    for (family, kind) in &first.kinds {
        if kind == "counter" && !family.ends_with("_seconds_total") {
            assert_eq!(first.count(family, &[]), 0, "{family}");
        }
    }
    let reasons: Vec<&str> = RefusedReason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(first.values("siem_events_dropped_total", "reason"), set(&reasons));
    assert_eq!(first.of("siem_events_dropped_total").count(), reasons.len() * 4);
    let lost: Vec<&str> = LostReason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(first.values("siem_events_lost_total", "reason"), set(&lost));
    let operations = ["send_batch", "health_check", "connect", "ack"];
    assert_eq!(first.values("siem_retry_attempts_total", "operation"), set(&operations));
    let errors = first.values("siem_batches_failed_total", "error_type");
    assert!(set(&["http_503", "http_401", "timeout", "connection_refused", "dns", "tls"]).is_subset(&errors));
    let causes = ["count", "bytes", "age", "drain"];
    assert_eq!(first.values("siem_flushed_batch_events_count", "cause"), set(&causes));
    assert_eq!(first.sum("siem_breaker_state", &[("state", "closed")]), 1.0);
    assert_eq!(first.sum("siem_breaker_state", &[]), 1.0);
    assert_eq!((first.count("siem_health_status", &[]), first.count("siem_queue_capacity", &[])), (1, 300));
    assert_eq!(first.sum("siem_oldest_undelivered_age_seconds", &[]), 0.0);
    let quantiles = first.values("siem_delivery_latency_last_minute_seconds", "quantile");
    assert_eq!(quantiles, set(&["0.5", "0.9", "0.99", "0.999", "0.9999"]));
    assert_eq!(first.values("siem_build_info", "version"), set(&[env!("CARGO_PKG_VERSION")]));
}

/// Bounds between two scrapes: a counter never falls, and no event has a fate before it is accepted.
fn assert_sound(now: &Scrape, before: Option<&Scrape>) {
    let of = |name| now.count(name, &[]);
    let fates = of("siem_events_sent_total") + of("siem_events_dead_lettered_total") + of("siem_events_lost_total");
    let accepted = of("siem_events_accepted_total");
    assert!(accepted >= fates, "{accepted} accepted, {fates} fates");
    assert_eq!(accepted, fates + of("siem_events_in_flight"));
    assert_eq!(of("siem_events_failed_total"), fates - of("siem_events_sent_total"));
    let Some(before) = before else { return };
    let counts = |name: &str| name.ends_with("_total") || name.ends_with("_count") || name.ends_with("_bucket");
    for ((name, labels), value) in before.samples.iter().filter(|((name, _), _)| counts(name)) {
        let now = now.samples[&(name.clone(), labels.clone())];
        assert!(now >= *value, "{name} {labels:?} fell from {value} to {now}");
    }
    for (family, kind) in &before.kinds {
        assert_eq!(now.kinds.get(family), Some(kind), "a family stays");
    }
}

#[test]
fn every_scrape_under_load_balances_and_the_last_is_what_the_destination_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let (received, requests) = (Received::default(), AtomicUsize::new(0));
    let theirs = received.clone();
    let moody = siem::from_fn("moody", move |batch| match requests.fetch_add(1, Ordering::Relaxed) % 50 {
        7 => Verdict::retry(Cause::http(503)),
        8 => Verdict::retry(Cause::new(CauseKind::ConnectionRefused)),
        9 => {
            theirs.take(batch, 1..batch.len());
            Verdict::Partial(Partial::new().reject(0, Cause::new(CauseKind::Rejected)))
        }
        _ => {
            theirs.take_all(batch);
            Verdict::Accept
        }
    });
    let forwarder = support::builder(moody)
        .name("busy")
        .batchers(2)
        .max_queue_size(500)
        .batch_size(20)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let registry = registered(&forwarder);
    let (done, scrapes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (offered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    let sent = std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut before = None;
            while !done.load(Ordering::Relaxed) {
                let now = scrape(&registry);
                assert_sound(&now, before.as_ref());
                before = Some(now);
                scrapes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let produce = || {
            let (emitter, mut sent) = (forwarder.emitter(), Vec::new());
            while scrapes.load(Ordering::Relaxed) < 30 && begun.elapsed() < PATIENCE {
                offered.fetch_add(1, Ordering::Relaxed);
                let event = AuditEvent::builder(EventType::UserLogin, Severity::High).build();
                let id = event.id();
                if emitter.try_send(event).is_ok() {
                    sent.push(id);
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            }
            sent
        };
        let producers = [(); 3].map(|()| scope.spawn(produce));
        let sent: Vec<_> = producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect();
        forwarder.drain(PATIENCE);
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap();
        assert!(scrapes.load(Ordering::Relaxed) >= 30);
        sent
    });
    let (report, last) = (forwarder.drain(PATIENCE), scrape(&registry));
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&path), &report);
    assert_sound(&last, None);

    // By our own counts, by the destination's ids, by the dead letter's and by the report.
    let of = |name| last.count(name, &[]);
    assert_eq!(of("siem_events_accepted_total"), sent.len() as u64 + of("siem_events_gap_total"));
    assert_eq!(of("siem_events_sent_total"), received.len() as u64);
    assert_eq!(of("siem_events_dead_lettered_total"), dead_letter(&path).len() as u64);
    let dropped = last.count("siem_events_dropped_total", &[("reason", "full"), ("severity", "high")]);
    assert_eq!((dropped, of("siem_events_dropped_total")), (refused.into_inner() as u64, dropped));
    assert_eq!((of("siem_events_in_flight"), of("siem_queue_size"), of("siem_current_batch_size")), (0, 0, 0));
    assert_eq!(of("siem_batches_sent_total"), report.metrics.batches_sent);
    for (error, count) in &report.metrics.error_counts {
        assert_eq!(last.count("siem_batches_failed_total", &[("error_type", error)]), *count);
    }
    let retried = |operation| last.count("siem_retry_attempts_total", &[("operation", operation)]);
    assert_eq!(retried("send_batch"), report.metrics.error_counts["http_503"]);
    assert_eq!(retried("connect"), report.metrics.error_counts["connection_refused"]);
    assert!(retried("send_batch") > 0 && retried("connect") > 0);
    assert_eq!(of("siem_send_latency_seconds_count"), report.metrics.send_latency.count);
    assert_eq!(of("siem_delivery_latency_seconds_count"), report.metrics.delivery_latency.count);
    assert_eq!(last.sum("siem_oldest_undelivered_age_seconds", &[]), 0.0);
    // Each batch that left a batcher held what was accepted.
    assert_eq!(last.sum("siem_flushed_batch_events_sum", &[]), last.sum("siem_events_accepted_total", &[]));
    // Of three threads the first event, and one in 2,053 after it.
    let measured = of("siem_emit_latency_seconds_count");
    assert!((1..=offered.into_inner() as u64 / 2_053 + 3).contains(&measured), "{measured}");
}

#[test]
fn two_forwarders_stand_side_by_side_and_one_of_the_same_name_is_told_so() {
    let registry = Registry::new();
    let (left, right) = (Received::default(), Received::default());
    let [payments, logins] =
        [("payments", &left), ("logins", &right)].map(|(name, to)| accepting(to).name(name).start().unwrap());
    payments.register(&registry).unwrap();
    logins.register(&registry).unwrap();
    support::send(&payments.emitter(), 3);
    support::send(&logins.emitter(), 5);
    for same in [
        &payments,
        &logins,
        &support::builder(siem::from_fn("else", |_| Verdict::Accept)).name("payments").start().unwrap(),
    ] {
        let error = same.register(&registry).unwrap_err();
        assert!(matches!(error, RegisterError::NameTaken { .. }), "{error}");
        assert!(error.to_string().contains("already: give each forwarder a name of its own"), "{error}");
    }
    payments.drain(PATIENCE);
    logins.drain(PATIENCE);
    // What is drained, and what is gone, stays as it was at its end.
    drop(payments);
    let last = scrape(&registry);
    let sent = |pipeline| last.count("siem_events_sent_total", &[("pipeline", pipeline)]);
    assert_eq!((sent("payments"), sent("logins"), last.of("siem_events_sent_total").count()), (3, 5, 2));
    assert_eq!((left.len(), right.len()), (3, 5));
}

/// The one number that says that nothing gets through, wherever the events are.
#[test]
fn the_oldest_event_grows_older_until_it_has_a_fate() {
    let received = Received::default();
    let mut played = support::Played::new(&received);
    let mut hang = support::Hang::new();
    let (hook, send) = (hang.hook(), played.send_batch);
    played.send_batch = Box::new(move |batch| {
        hook();
        send(batch)
    });
    let forwarder = support::builder(played)
        .senders(1)
        .batch_size(10)
        .max_queue_size(100)
        .batch_timeout(Duration::from_secs(3600))
        .start()
        .unwrap();
    let registry = registered(&forwarder);
    let age = || scrape(&registry).sum("siem_oldest_undelivered_age_seconds", &[]);
    let emitter = forwarder.emitter();
    assert_eq!(age(), 0.0);
    // By our own clock, which is read outside of the event's creation and of the look.
    let begun = Instant::now();
    let slack = 0.001;
    let mut sent = support::send(&emitter, 1);
    let created = Instant::now();
    let assert_its_age = || {
        let least = created.elapsed().as_secs_f64();
        let age = age();
        assert!((least - slack..=begun.elapsed().as_secs_f64() + slack).contains(&age), "{age}, not {least}");
    };
    // In the batch that is being filled; then on the wire, in the hand-over, in the batcher's hands and in the ring.
    support::until(|| created.elapsed() > Duration::from_millis(50));
    assert_its_age();
    sent.extend(support::send(&emitter, 9));
    support::until(|| scrape(&registry).sum("siem_sender_busy_seconds_total", &[]) > 0.05);
    assert_its_age();
    sent.extend(support::send(&emitter, 60));
    support::until(|| scrape(&registry).count("siem_queue_size", &[]) == 40);
    assert_eq!(scrape(&registry).sum("siem_queue_fill_ratio", &[]), 0.4);
    assert_its_age();
    hang.release();
    // Once all of that is delivered, the age is that of the next one.
    let waiting =
        || scrape(&registry).count("siem_events_in_flight", &[]) + scrape(&registry).count("siem_queue_size", &[]);
    support::until(|| waiting() == 0);
    let next = Instant::now();
    sent.extend(support::send(&emitter, 1));
    support::until(|| waiting() == 1);
    let young = age();
    assert!(young > 0.0 && young <= next.elapsed().as_secs_f64() + slack, "{young}");
    forwarder.drain(PATIENCE);
    assert_eq!(age(), 0.0);
    assert!(sent.iter().all(|id| received.ids().contains_key(id)));
    let last = scrape(&registry);
    let flushed = |cause| last.count("siem_flushed_batch_events_count", &[("cause", cause)]);
    assert_eq!((flushed("count"), flushed("drain")), (sent.len() as u64 / 10, 1));
    assert_eq!((flushed("bytes"), flushed("age")), (0, 0));
    let p50 = last.sum("siem_delivery_latency_last_minute_seconds", &[("quantile", "0.5")]);
    let max = last.sum("siem_delivery_latency_last_minute_max_seconds", &[]);
    assert!(0.0 < p50 && p50 <= max && max >= 0.1, "{p50} {max}");
}

/// What is red is red in the numbers too.
#[test]
fn a_destination_that_refuses_us_turns_breaker_and_health() {
    let received = Received::default();
    let forwarder = Forwarder::builder(scripted(&received, |_| Verdict::Halt(Cause::http(401))))
        .health(support::unasked())
        .batch_size(1)
        .start()
        .unwrap();
    let registry = registered(&forwarder);
    support::send(&forwarder.emitter(), 1);
    support::until(|| scrape(&registry).count("siem_health_status", &[]) == 0);
    let red = scrape(&registry);
    assert_eq!(red.sum("siem_breaker_state", &[("state", "open")]), 1.0);
    assert_eq!((red.sum("siem_breaker_state", &[]), red.count("siem_breaker_transitions_total", &[])), (1.0, 1));
    assert_eq!(red.count("siem_batches_failed_total", &[("error_type", "http_401")]), 1);
    assert_eq!(red.count("siem_events_in_flight", &[]), 1);
    assert_eq!(forwarder.abort().ledger.lost["no_dead_letter"], 1);
    assert_eq!(scrape(&registry).count("siem_events_lost_total", &[("reason", "no_dead_letter")]), 1);
}
