//! What a killed program had not delivered is gone, as nothing has written it down: neither told as delivered nor left in
//! pieces. Whoever still has the input sends it again, under the same ids.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use rustix::process::Signal;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{PATIENCE, Scene, assert_received, lines};

#[test]
fn events_in_memory_die_with_the_program_and_the_same_input_brings_them_back() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let scene = Scene::new(&receiver.url(), "");
    let mut running = scene.start(&[]);
    running.feed(lines(0..1_000));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.events == 1_000), "{:?}", receiver.counts());
    receiver.set_faults(vec!["hang".parse().unwrap()]);
    let requests = receiver.counts().requests;
    running.feed(lines(1_000..1_500));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests > requests), "{:?}", receiver.counts());
    running.signal(Signal::KILL);
    let ran = running.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (-1, ""), "it had no time for a word");
    assert_received(&receiver, 0..1_000);
    assert!(scene.dead_letter().is_empty() && scene.rejected().is_empty());

    receiver.set_faults(Vec::new());
    let ran = scene.run(&[], lines(0..1_500));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..1_500);
    assert_eq!(receiver.counts().duplicated, 1_000, "what came twice is known by its id");
}
