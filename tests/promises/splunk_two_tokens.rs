//! Two pipelines with a token each, at one endpoint: what befalls the one token is not the other's business (T17).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::HashSet;
use std::time::Duration;

use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;
use siem_forward::{EventId, Forwarder, Report};

use crate::hec::{Letter, TIMEOUT, TOKEN, builder, faults, ids, wait_for_fates};
use crate::support::{PATIENCE, assert_one_fate_each, send, wait_until};

const OTHER_TOKEN: &str = "c7d1e1c2-another-token-that-nobody-prints";

/// A pipeline with this token, whose events say `name` as their source.
fn pipeline(receiver: &Receiver, letter: &Letter, token: &str, name: &str) -> Forwarder {
    let splunk = Splunk::new(receiver.url(), token).unwrap().timeout(TIMEOUT).source(name);
    builder(splunk.compression(siem_forward::net::Compression::None), letter).name(name).start().unwrap()
}

/// The comparison for one of the two, with what the receiver holds of its events; how often each of them came.
fn assert_balanced(sent: &[EventId], receiver: &Receiver, letter: &Letter, report: &Report) -> Vec<u32> {
    let own: HashSet<_> = sent.iter().collect();
    let mut held = ids(&[receiver]);
    held.retain(|id, _| own.contains(id));
    assert_one_fate_each(sent, &held, &letter.records(), report);
    held.into_values().collect()
}

/// T17: one token is refused until somebody puts it right.
#[test]
fn a_refused_token_leaves_the_other_alone() {
    let config = ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let (letter, other_letter) = (Letter::new(), Letter::new());
    let good = pipeline(&receiver, &letter, TOKEN, "good");
    let refused = pipeline(&receiver, &other_letter, OTHER_TOKEN, "refused");

    let waiting = send(&refused.emitter(), 500);
    wait_until(&refused, |metrics| metrics.batches_failed > 0);
    let sent = send(&good.emitter(), 5_000);
    wait_for_fates(&good, sent.len());
    let (health, other_health) = (good.health(), refused.health());
    assert!(health.healthy, "{health:?}");
    assert!(!other_health.healthy && other_health.error_message.unwrap().contains("Invalid token"));
    let report = good.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_eq!(report.metrics.batches_failed, 0, "{report}");
    assert_eq!(assert_balanced(&sent, &receiver, &letter, &report), vec![1; sent.len()]);

    // All that time the other kept its events.
    assert_eq!(ids(&[&receiver]).len(), sent.len());
    assert!(other_letter.records().is_empty());
    receiver.set_token(Some(OTHER_TOKEN.to_owned()));
    wait_for_fates(&refused, waiting.len());
    let report = refused.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_eq!(assert_balanced(&waiting, &receiver, &other_letter, &report), vec![1; waiting.len()]);
}

/// T17: one token is asked to wait for an hour.
#[test]
fn a_throttled_token_leaves_the_other_alone() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    receiver.set_faults(faults(&["429:retry_after=3600,contains=\"source\":\"throttled\""]));
    let (letter, other_letter) = (Letter::new(), Letter::new());
    let good = pipeline(&receiver, &letter, TOKEN, "good");
    let throttled = pipeline(&receiver, &other_letter, OTHER_TOKEN, "throttled");

    let waiting = send(&throttled.emitter(), 500);
    wait_until(&throttled, |metrics| metrics.batches_failed > 0);
    let sent = send(&good.emitter(), 5_000);
    wait_for_fates(&good, sent.len());
    assert!(good.health().healthy, "{:?}", good.health());
    let report = good.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_eq!(report.metrics.batches_failed, 0, "{report}");
    assert_eq!(assert_balanced(&sent, &receiver, &letter, &report), vec![1; sent.len()]);

    // It waits as it was asked to: one request of each sender at most.
    let counts = receiver.counts();
    assert!((1..=2).contains(&counts.requests_failed), "{counts:?}");
    assert_eq!(ids(&[&receiver]).len(), sent.len());
    let report = throttled.drain(Duration::from_millis(200));
    assert_eq!(other_letter.records().len(), waiting.len(), "{report}");
    assert_eq!(assert_balanced(&waiting, &receiver, &other_letter, &report), [0; 0]);
}
