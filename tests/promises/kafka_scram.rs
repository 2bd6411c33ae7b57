//! Logging in to Kafka by SCRAM: each side proves that it knows the password, and nobody on the way reads it.

use crate::broker::{Broker, METADATA, REFUSAL, assert_let_in, check, scene};
use crate::program::{Ran, Scene};
use crate::scram::{Hash, Proof, SHA_256, SHA_512, door};

const PASSWORD: &str = "pa55-w0rd-of-kafka";
const ANOTHER: &str = "another-pa55-w0rd";

/// Of a broker that knows the password, one who has this one.
fn log_in(hash: &'static Hash, proof: Proof, password: &str) -> (Broker, Ran) {
    let broker = Broker::with_login(hash.mechanism, door(hash, PASSWORD, proof));
    let ran = check(&scene_of(hash.mechanism, &broker, password));
    assert!(!broker.shown().is_empty(), "nobody logged in: {ran:?}");
    let all = format!("{ran:?} {:?}", broker.shown());
    assert!(!all.contains(PASSWORD) && !all.contains(ANOTHER), "{all}");
    assert!(broker.is_readable("n,,n=service,r="), "what is on the way is seen here");
    assert!(!broker.is_readable(PASSWORD) && !broker.is_readable(ANOTHER));
    (broker, ran)
}

fn scene_of(mechanism: &str, broker: &Broker, password: &str) -> Scene {
    scene(&broker.address.to_string(), Some(password), &format!("sasl_mechanism = \"{mechanism}\""))
}

#[test]
fn who_knows_the_password_gets_in_and_nobody_on_the_way_reads_it() {
    for hash in [&SHA_256, &SHA_512] {
        let (_, ran) = log_in(hash, Proof::Right, PASSWORD);
        assert_let_in(&ran);
        assert!(!ran.stderr.contains("and the password"), "nobody can read that: {ran:?}");
    }
}

#[test]
fn a_wrong_password_is_refused_in_the_brokers_words_and_is_not_shown() {
    for hash in [&SHA_256, &SHA_512] {
        let (_, ran) = log_in(hash, Proof::Right, ANOTHER);
        assert_eq!(ran.code, 1, "{}: {ran:?}", hash.mechanism);
        assert_eq!(ran.stdout.matches(REFUSAL).count(), 2, "the pipeline and the input: {ran:?}");
    }
}

/// Who stands between us and the brokers lets in anybody, to be sent the events.
#[test]
fn a_broker_that_does_not_know_the_password_itself_gets_nothing() {
    for hash in [&SHA_256, &SHA_512] {
        let (broker, ran) = log_in(hash, Proof::Pretended, PASSWORD);
        assert_eq!(ran.code, 1, "{}: {ran:?}", hash.mechanism);
        assert_eq!(ran.stdout.matches("ServerSignature mismatch").count(), 2, "{}: {ran:?}", hash.mechanism);
        assert_eq!(broker.asked(METADATA), 0, "{}: {broker:?}", hash.mechanism);
    }
}

#[test]
fn a_mechanism_that_the_broker_lacks_is_told_with_what_it_has() {
    let broker = Broker::with_login(SHA_512.mechanism, door(&SHA_512, PASSWORD, Proof::Right));
    for (mechanism, password) in [("SCRAM-SHA-256", PASSWORD), ("PLAIN", PASSWORD)] {
        let ran = check(&scene_of(mechanism, &broker, password));
        assert_eq!(ran.code, 1, "{mechanism}: {ran:?}");
        assert_eq!(ran.stdout.matches("SCRAM-SHA-512").count(), 2, "the pipeline and the input: {ran:?}");
        assert!(broker.shown().is_empty() && !broker.is_readable(PASSWORD), "{mechanism}: it was shown all the same");
    }
}
