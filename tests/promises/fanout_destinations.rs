//! A fan-out: every destination gets every event that is meant for it, under the same id, and what one of them does is no
//! other's business.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use siem_forward::fanout::{FanoutEmitter, FanoutError, NotTaken};
use siem_forward::ledger::RefusedReason;
use siem_forward::policy::{Filter, Overflow, Sampling};
use siem_forward::siem::CauseKind;
use siem_forward::{
    AuditEvent, Batch, Builder, Cause, DeadLetterConfig, EventId, EventType, Fanout, Forwarder, Refused, Report,
    Severity, Verdict,
};

use crate::support::{
    self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, dead_letter, fill, scripted, until,
    wait_until,
};

/// Where the destinations of a test write what they cannot deliver.
struct Letters(tempfile::TempDir);

impl Letters {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn of(&self, name: &str, builder: Builder) -> Forwarder {
        let builder = builder.name(name).batch_size(50).batch_timeout(Duration::from_millis(50));
        builder.dead_letter(DeadLetterConfig::new(self.path(name))).start().unwrap()
    }
}

/// One that accepts, and what it has got.
fn accepting(letters: &Letters, name: &str, adapt: impl FnOnce(Builder) -> Builder) -> (Forwarder, Received) {
    let received = Received::default();
    let forwarder = letters.of(name, adapt(support::builder(Played::new(&received))));
    (forwarder, received)
}

/// One whose batcher hangs at its first event, so that nothing leaves its ring.
fn hanging(letters: &Letters, hang: &Hang, adapt: impl FnOnce(Builder) -> Builder) -> (Forwarder, Received) {
    hanging_as("hanging", letters, hang, adapt)
}

fn hanging_as(
    name: &str,
    letters: &Letters,
    hang: &Hang,
    adapt: impl FnOnce(Builder) -> Builder,
) -> (Forwarder, Received) {
    let received = Received::default();
    let mut played = Played::new(&received);
    let (hook, format) = (hang.hook(), played.format_event);
    played.format_event = Box::new(move |event, body| {
        hook();
        format(event, body)
    });
    let forwarder = letters.of(name, adapt(support::builder(played)));
    (forwarder, received)
}

fn event(index: usize) -> AuditEvent {
    AuditEvent::builder(EventType::ToolInvoked, Severity::Low).tool_name("tool").detail("index", index).build()
}

fn send(emitter: &FanoutEmitter, count: usize) -> Vec<EventId> {
    let send = |index| {
        let event = event(index);
        let id = event.id();
        emitter.send_timeout(event, PATIENCE).unwrap();
        id
    };
    (0..count).map(send).collect()
}

/// The comparison for each destination: what it was sent, what it got, what lies in its dead letter, its books.
fn assert_each(letters: &Letters, sent: &[EventId], received: &[&Received], reports: &[Report]) {
    assert_eq!(received.len(), reports.len());
    for (received, report) in received.iter().zip(reports) {
        let dead = dead_letter(&letters.path(&report.pipeline));
        assert_one_fate_each(sent, &received.ids(), &dead, report);
    }
}

fn once(ids: &[EventId]) -> HashMap<EventId, u32> {
    ids.iter().map(|id| (*id, 1)).collect()
}

#[test]
fn every_destination_gets_every_event_once_and_under_the_same_id() {
    let letters = Letters::new();
    let (one, at_one) = accepting(&letters, "one", |builder| builder);
    let (two, at_two) = accepting(&letters, "two", |builder| builder.batchers(2));
    let (three, at_three) = accepting(&letters, "three", |builder| builder.max_queue_size(100));
    let fanout = Fanout::new([one, two, three]).unwrap();
    let threads = [(); 3].map(|()| {
        let emitter = fanout.emitter();
        std::thread::spawn(move || send(&emitter, 2_000))
    });
    let sent: Vec<EventId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let reports = fanout.drain(PATIENCE);
    for received in [&at_one, &at_two, &at_three] {
        assert_eq!(received.ids(), once(&sent));
    }
    assert_each(&letters, &sent, &[&at_one, &at_two, &at_three], &reports);
    let names: Vec<&str> = reports.iter().map(|report| report.pipeline.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"], "in the order in which they were given");
    let refused = fanout.emitter().try_send(event(0)).unwrap_err();
    assert_eq!(refused.to_string(), "one: closed, two: closed, three: closed");
}

/// What arrives is the event to the letter, whoever got the copy.
#[test]
fn a_copy_is_the_event_to_the_letter() {
    let letters = Letters::new();
    let bodies = [(); 3].map(|()| std::sync::Arc::new(std::sync::Mutex::new(Vec::<u8>::new())));
    let forwarders = bodies.iter().zip(["one", "two", "three"]).map(|(bodies, name)| {
        let mut played = Played::new(&Received::default());
        let (format, kept) = (played.format_event, std::sync::Arc::clone(bodies));
        played.format_event = Box::new(move |event, body| {
            let before = body.len();
            let formatted = format(event, body);
            kept.lock().unwrap().extend_from_slice(&body[before..]);
            formatted
        });
        letters.of(name, support::builder(played))
    });
    let fanout = Fanout::new(forwarders).unwrap();
    let emitter = fanout.emitter();
    let custom = EventType::custom("payment_made").unwrap();
    // The second is larger than a pooled buffer.
    for agent in ["curl/8.5".to_owned(), "x".repeat(5_000)] {
        let event = emitter.event(custom, Severity::High).user_id("u-17").user_agent(agent).detail("amount", 120);
        event.detail_json("list", &[1, 2]).decision("deny").try_send().unwrap();
    }
    assert!(fanout.drain(PATIENCE).iter().all(Report::all_delivered));
    let [one, two, three] = bodies.map(|bodies| String::from_utf8(bodies.lock().unwrap().clone()).unwrap());
    assert!(one.len() > 5_000 && one.contains("payment_made") && one.contains("\"list\":[1,2]"), "{one}");
    assert_eq!((&one, &one), (&two, &three));
}

/// In what way a destination is away.
type Away = (&'static str, fn(&Received, &Hang) -> Builder);

const AWAY: [Away; 3] = [
    ("hangs", |received, hang| {
        let (hook, received) = (hang.hook(), received.clone());
        let mut played = Played::new(&Received::default());
        played.send_batch = Box::new(move |batch: &Batch| {
            hook();
            received.take_all(batch);
            Verdict::Accept
        });
        support::builder(played)
    }),
    ("is_down", |received, _| {
        support::builder(scripted(received, |_| Verdict::retry(Cause::new(CauseKind::ConnectionRefused))))
    }),
    ("answers_401", |received, _| support::builder(scripted(received, |_| Verdict::Halt(Cause::http(401))))),
];

/// Its ring is far smaller than what is sent: the others have it all, each call came back at once, and who lacks what is
/// told by name.
#[test]
fn a_destination_that_is_away_stalls_no_other_and_refuses_by_its_name() {
    for (name, builder) in AWAY {
        let (letters, hang, at_away) = (Letters::new(), Hang::new(), Received::default());
        let away = letters.of(name, builder(&at_away, &hang).max_queue_size(500));
        let (live, at_live) = accepting(&letters, "live", |builder| builder.max_queue_size(10_000));
        let fanout = Fanout::new([away, live]).unwrap();
        let emitter = fanout.emitter();
        let (mut sent, mut lacking) = (Vec::new(), Vec::new());
        for index in 0..5_000 {
            let event = event(index);
            sent.push(event.id());
            if let Err(not_taken) = emitter.try_send(event) {
                assert_eq!(not_taken.reasons().collect::<Vec<_>>(), [(name, RefusedReason::Full)]);
                assert_eq!(Some(&not_taken.event().id()), sent.last());
                lacking.push(not_taken.event().id());
            }
        }
        let [away, live] = fanout.forwarders() else { panic!("two") };
        wait_until(live, |metrics| metrics.events_sent == 5_000);
        assert_eq!(at_live.ids(), once(&sent), "{name}");
        assert!(live.health().healthy && live.metrics().batches_failed == 0, "{name}");
        assert_eq!((at_away.len(), away.metrics().events_sent), (0, 0), "{name}: it is away all the time");
        assert_eq!(away.metrics().ledger.refused["full"], lacking.len() as u64);
        assert!(lacking.len() > 2_000, "{name}: {}", lacking.len());

        // All at once, and by one deadline.
        let begun = Instant::now();
        let reports = fanout.drain(Duration::from_millis(200));
        let took = begun.elapsed();
        assert!(took <= Duration::from_millis(200 + 500), "{name}: {took:?}");
        let taken: Vec<EventId> = {
            let lacking: std::collections::HashSet<_> = lacking.into_iter().collect();
            sent.iter().filter(|id| !lacking.contains(id)).copied().collect()
        };
        let dead = dead_letter(&letters.path(name));
        assert_eq!(reports[1].ledger.delivered, 5_000);
        assert_one_fate_each(&sent, &at_live.ids(), &NONE_DEAD, &reports[1]);
        assert_one_fate_each(&taken, &at_away.ids(), &dead, &reports[0]);
        assert!(taken.iter().all(|id| dead.contains_key(&id.to_string())), "{name}");
        drop(hang);
    }
}

#[test]
fn what_one_lacked_is_sent_again_to_that_one_alone() {
    let (letters, mut hang) = (Letters::new(), Hang::new());
    let (hanging, at_hanging) = hanging(&letters, &hang, |builder| builder.max_queue_size(2));
    let (live, at_live) = accepting(&letters, "live", |builder| builder);
    // Either gets the event itself where it is the last one.
    let fanout = Fanout::new([live, hanging]).unwrap();
    let emitter = fanout.emitter();
    let mut sent = send(&emitter, 1);
    // It is in the batcher's hand, and two more find room.
    wait_until(&fanout.forwarders()[1], |metrics| metrics.ledger.accepted == 1);
    let not_taken: Vec<NotTaken> = (1..50)
        .filter_map(|index| {
            let event = event(index);
            sent.push(event.id());
            emitter.try_send(event).err()
        })
        .collect();
    assert_eq!(not_taken.len(), 47);
    until(|| at_live.len() == 50);

    // Still no room: it comes back again.
    let mut not_taken = not_taken.into_iter();
    let again = emitter.resend_timeout(not_taken.next().unwrap(), Duration::ZERO).unwrap_err();
    assert_eq!(again.to_string(), "hanging: full");
    hang.release();
    for not_taken in not_taken.chain([again]) {
        emitter.resend_timeout(not_taken, PATIENCE).unwrap();
    }
    let reports = fanout.drain(PATIENCE);
    assert_eq!(reports[1].ledger.refused["full"], 48);
    assert_eq!(at_live.ids(), once(&sent));
    // The one that hung tells the gap, which is closed by now, in an event of its own.
    assert_each(&letters, &sent, &[&at_live, &at_hanging], &reports);
    assert!(sent.iter().all(|id| at_hanging.ids()[id] == 1));
}

/// A closed ring has no room either, and nobody waits for any.
#[test]
fn who_waits_for_room_at_two_that_are_full_is_told_at_once_that_they_close() {
    let (letters, hang) = (Letters::new(), Hang::new());
    let full = |name| hanging_as(name, &letters, &hang, |builder| builder.max_queue_size(8)).0;
    let fanout = Fanout::new([full("one"), full("other")]).unwrap();
    let emitter = fanout.emitter();
    // Until both have refused, and once more.
    for _ in 0..2 {
        until(|| emitter.try_send(event(0)).is_err_and(|not_taken| not_taken.reasons().count() == 2));
    }
    let waiting = std::thread::spawn(move || (emitter.send_timeout(event(1), PATIENCE), Instant::now()));
    drop(fanout.drain(Duration::from_millis(100)));
    let drained = Instant::now();
    let (not_taken, told) = waiting.join().unwrap();
    assert!(told.saturating_duration_since(drained) < PATIENCE / 2, "it waited on");
    let closed = [("one", RefusedReason::Closed), ("other", RefusedReason::Closed)];
    assert_eq!(not_taken.unwrap_err().reasons().collect::<Vec<_>>(), closed);
}

#[test]
fn an_event_that_is_not_taken_can_be_kept_elsewhere() {
    let (letters, hang) = (Letters::new(), Hang::new());
    let (hanging, _) = hanging(&letters, &hang, |builder| builder.max_queue_size(2));
    fill(&hanging.emitter());
    wait_until(&hanging, |metrics| metrics.ledger.accepted == 1);
    fill(&hanging.emitter());
    let fanout = Fanout::new([hanging]).unwrap();
    let (event, twin) = (event(7), event(7));
    let id = event.id();
    let kept = fanout.emitter().try_send(event).unwrap_err().into_event();
    assert_eq!((kept.id(), kept.tool_name(), kept.details()), (id, twin.tool_name(), twin.details()));
    drop(hang);
}

/// `overflow = "block"` is the caller's own wish, and the others have the event before that.
#[test]
fn one_that_blocks_holds_up_its_caller_and_no_other_destination() {
    let (letters, mut hang) = (Letters::new(), Hang::new());
    let block = Overflow::Block { timeout: PATIENCE };
    let (hanging, at_hanging) = hanging(&letters, &hang, |builder| builder.max_queue_size(2).overflow(block));
    let (live, at_live) = accepting(&letters, "live", |builder| builder);
    let fanout = Fanout::new([hanging, live]).unwrap();
    let emitter = fanout.emitter();
    let caller = std::thread::spawn(move || {
        let sent = (0..10).map(event).map(|event| (event.id(), emitter.try_send(event).is_ok()));
        sent.collect::<Vec<_>>()
    });
    // Two find room and one is in the batcher's hand: with the next one the caller waits.
    until(|| at_live.len() == 4);
    assert!(!caller.is_finished() && at_hanging.len() == 0);
    hang.release();
    let sent = caller.join().unwrap();
    assert!(sent.iter().all(|(_, is_ok)| *is_ok));
    let sent: Vec<EventId> = sent.into_iter().map(|(id, _)| id).collect();
    let reports = fanout.drain(PATIENCE);
    assert_eq!((at_hanging.ids(), at_live.ids()), (once(&sent), once(&sent)));
    assert_each(&letters, &sent, &[&at_hanging, &at_live], &reports);
}

#[test]
fn what_the_configuration_keeps_away_is_counted_and_is_no_refusal() {
    let letters = Letters::new();
    let (all, at_all) = accepting(&letters, "all", |builder| builder);
    let (grave, at_grave) =
        accepting(&letters, "grave", |builder| builder.filter(Filter::default().severity_min(Severity::High)));
    let mut sampling = Sampling::default();
    sampling.low = 0.0;
    let (sampled, at_sampled) = accepting(&letters, "sampled", |builder| builder.sampling(sampling));
    let (disabled, at_disabled) = accepting(&letters, "disabled", |builder| builder.enabled(false));
    let single = grave.emitter();
    let fanout = Fanout::new([all, grave, sampled, disabled]).unwrap();
    let emitter = fanout.emitter();
    let sent: Vec<EventId> = send(&emitter, 300);
    let reports = fanout.drain(PATIENCE);
    assert_eq!(at_all.ids(), once(&sent));
    assert_eq!([at_grave.len(), at_sampled.len(), at_disabled.len()], [0, 0, 0]);
    for (report, reason) in reports[1..].iter().zip(["filtered", "sampled", "disabled"]) {
        let ledger = &report.ledger;
        assert_eq!((ledger.refused[reason], ledger.refused_total()), (300, 300), "{report}");
        assert!(ledger.balances(0) && ledger.gaps == 0, "nobody wanted it, so nothing is missing: {report}");
    }
    assert_eq!(reports[0].ledger.refused_total(), 0);
    // Alone it hands an event back, as sampling does.
    assert!(matches!(single.try_send(event(0)), Err(Refused::Filtered(_))));
}

/// Where nobody wants an event it is handed back to nobody, and its pooled buffer lives on.
#[test]
fn an_event_that_nobody_wants_is_no_refusal_either() {
    let letters = Letters::new();
    let filter = Filter::default().severity_min(Severity::Critical);
    let (one, at_one) = accepting(&letters, "one", |builder| builder.filter(filter.clone()));
    let (two, at_two) = accepting(&letters, "two", |builder| builder.filter(filter));
    let fanout = Fanout::new([one, two]).unwrap();
    let emitter = fanout.emitter();
    for _ in 0..10 {
        emitter.event(EventType::UserLogin, Severity::High).try_send().unwrap();
    }
    emitter.event(EventType::UserLogin, Severity::Critical).try_send().unwrap();
    let reports = fanout.drain(PATIENCE);
    assert_eq!((at_one.len(), at_two.len()), (1, 1));
    assert!(reports.iter().all(|report| report.ledger.refused["filtered"] == 10 && report.ledger.balances(1)));
}

#[test]
fn a_filter_is_in_range_or_nothing_starts() {
    for filter in [Filter::default().event_types([]), Filter::default().decisions([""; 0])] {
        let refused = support::builder(Played::new(&Received::default())).filter(filter).start().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "filter = a list without entries is out of its range: lists with one entry or more"
        );
    }
}

#[test]
fn a_fanout_has_one_to_32_destinations_with_a_name_each() {
    let start = |name: &str| support::builder(Played::new(&Received::default())).name(name).start().unwrap();
    assert_eq!(Fanout::new([]).unwrap_err(), FanoutError::Empty);
    let taken = Fanout::new([start("one"), start("two"), start("one")]).unwrap_err();
    assert_eq!(taken.to_string(), "two destinations are called one: give each a name of its own");
    let many = |count: usize| (0..count).map(|number| start(&format!("{number}"))).collect::<Vec<_>>();
    assert_eq!(Fanout::new(many(33)).unwrap_err(), FanoutError::TooMany { count: 33 });
    let fanout = Fanout::new(many(32)).unwrap();
    fanout.emitter().try_send(event(0)).unwrap();
    let reports = fanout.drain(PATIENCE);
    assert!(reports.len() == 32 && reports.iter().all(|report| report.ledger.balances(1) && report.all_delivered()));
}

/// Three that hang, each with 300 ms of its own.
#[test]
fn dropping_a_fanout_drains_all_at_once() {
    let (letters, hang) = (Letters::new(), Hang::new());
    let forwarders: Vec<Forwarder> = ["one", "two", "three"]
        .map(|name| {
            let (_, builder) = AWAY[0];
            letters.of(name, builder(&Received::default(), &hang).drain_timeout(Duration::from_millis(300)))
        })
        .into();
    let fanout = Fanout::new(forwarders).unwrap();
    let sent = send(&fanout.emitter(), 100);
    let begun = Instant::now();
    drop(fanout);
    let took = begun.elapsed();
    assert!(took <= Duration::from_millis(300 + 500), "{took:?}");
    for name in ["one", "two", "three"] {
        assert_eq!(dead_letter(&letters.path(name)).len(), sent.len(), "{name}");
    }
    drop(hang);
}

#[test]
fn an_abort_ends_a_drain_that_has_more_patience() {
    let (letters, hang) = (Letters::new(), Hang::new());
    let (_, builder) = AWAY[0];
    let away = letters.of("away", builder(&Received::default(), &hang));
    let (live, at_live) = accepting(&letters, "live", |builder| builder);
    let fanout = Fanout::new([away, live]).unwrap();
    let sent = send(&fanout.emitter(), 10);
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| fanout.drain(PATIENCE));
        until(|| at_live.len() == 10);
        let begun = Instant::now();
        let reports = fanout.abort();
        assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(patient.join().unwrap(), reports, "a second call returns the first one's reports");
    });
    assert_eq!(dead_letter(&letters.path("away")).len(), sent.len());
    assert_eq!(at_live.ids(), once(&sent));
    drop(hang);
}

#[test]
fn all_are_shown_in_one_registry_by_their_names() {
    let letters = Letters::new();
    let (one, _) = accepting(&letters, "one", |builder| builder);
    let (two, _) = accepting(&letters, "two", |builder| builder.filter(Filter::default().severity_min(Severity::High)));
    let fanout = Fanout::new([one, two]).unwrap();
    let registry = prometheus::Registry::new();
    fanout.register(&registry).unwrap();
    send(&fanout.emitter(), 100);
    fanout.drain(PATIENCE);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let scrape = crate::exposition::Scrape::parse(&text);
    assert_eq!(scrape.count("siem_events_sent_total", &[("pipeline", "one")]), 100);
    assert_eq!(scrape.count("siem_events_sent_total", &[("pipeline", "two")]), 0);
    assert_eq!(scrape.count("siem_events_dropped_total", &[("pipeline", "two"), ("reason", "filtered")]), 100);
    assert!(fanout.register(&registry).is_err());
}

/// Of a thread's events one in 2,053 is measured: each of the destinations has its share of them.
#[test]
fn what_emitting_costs_is_measured_at_each_destination() {
    let letters = Letters::new();
    let (one, _) = accepting(&letters, "one", |builder| builder);
    let (two, _) = accepting(&letters, "two", |builder| builder);
    let fanout = Fanout::new([one, two]).unwrap();
    let registry = prometheus::Registry::new();
    fanout.register(&registry).unwrap();
    let emitter = fanout.emitter();
    std::thread::spawn(move || send(&emitter, 5_000)).join().unwrap();
    fanout.drain(PATIENCE);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let scrape = crate::exposition::Scrape::parse(&text);
    for name in ["one", "two"] {
        let measured = scrape.count("siem_emit_latency_seconds_count", &[("pipeline", name)]);
        assert!(measured >= 5_000 / 2_053, "{name}: {measured}");
    }
}
