//! `run` under the policies of overflow and sampling: its input can wait, so nothing is refused for want of room; what is
//! sampled out is done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use serde_json::json;
use siem_forward::policy::Sampling;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::{AuditEvent, EventType, Forwarder, Severity};

use crate::program::{Scene, assert_received, id, lines};
use crate::support::{Played, Received};

const LINES: u32 = 5_000;

/// The lines whose events a forwarder of the library keeps.
fn kept_by_the_library(part: f64) -> Vec<u32> {
    let mut sampling = Sampling::default();
    sampling.low = part;
    let builder = Forwarder::builder(Played::new(&Received::default())).sampling(sampling);
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let event = |number| AuditEvent::builder(EventType::ToolInvoked, Severity::Low).id(id(number)).build();
    (0..LINES).filter(|number| emitter.try_send(event(*number)).is_ok()).collect()
}

#[test]
fn what_is_sampled_out_is_done_and_neither_rejected_nor_tried_again() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let scene = Scene::new(&receiver.url(), "sampling = { low = 0.1 }");
    let kept = kept_by_the_library(0.1);
    assert!((350..650).contains(&kept.len()), "{}", kept.len());
    let ran = scene.run(&["--json"], lines(0..LINES));
    let report = ran.json();
    assert_eq!(ran.code, 0, "nothing is amiss: {ran:?}");
    for (key, value) in [
        ("accepted", json!(kept.len())),
        ("delivered", json!(kept.len())),
        ("balances", json!(true)),
        ("gaps", json!(0)),
        ("unreadable", json!(0)),
    ] {
        assert_eq!(report[key], value, "{key}: {report}");
    }
    assert_eq!(report["refused"]["sampled"], json!(LINES as usize - kept.len()), "{report}");
    assert!(ran.stderr.contains(" were sampled out. The ledger balances."), "{}", ran.stderr);
    assert!(scene.rejected().is_empty() && scene.dead_letter().is_empty());
    assert_received(&receiver, kept);
}

#[test]
fn what_finds_no_room_waits_for_it_whatever_the_policy() {
    for keys in [
        "overflow = \"refuse\"",
        "overflow = \"block\"\nblock_timeout_seconds = 0.001",
        "overflow = \"shed_by_severity\"\nshed = { low = 0.1 }",
    ] {
        let faults = vec!["503:every=3".parse().unwrap()];
        let receiver = Receiver::start(ReceiverConfig { faults, ..ReceiverConfig::default() }).unwrap();
        let scene = Scene::new(&receiver.url(), &format!("max_queue_size = 50\nbatch_size = 20\n{keys}"));
        let ran = scene.run(&["--json"], lines(0..LINES));
        let report = ran.json();
        assert_eq!((ran.code, &report["delivered"]), (0, &json!(LINES)), "{keys}: {ran:?}");
        let refused = report["refused"].as_object().unwrap();
        assert!(refused.values().all(|count| *count == 0), "{keys}: {report}");
        assert_eq!(report["gaps"], 0, "{keys}");
        assert_received(&receiver, 0..LINES);
    }
}
