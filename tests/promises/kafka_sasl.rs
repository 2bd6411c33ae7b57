//! Logging in to Kafka by SASL: what the broker is shown, what is said when it refuses, and that no password is said.

use crate::broker::{self, Broker, REFUSAL, assert_let_in, scene};
use crate::program::Ran;

const PASSWORD: &str = "pa55-w0rd-of-kafka";

fn check(broker: &Broker, password: &str) -> Ran {
    broker::check(&scene(&broker.address.to_string(), Some(password), ""))
}

#[test]
fn who_logs_in_shows_name_and_password_and_nobody_else_sees_them() {
    let broker = Broker::plain(PASSWORD);
    let ran = check(&broker, PASSWORD);
    assert_let_in(&ran);
    let login = ("PLAIN".to_owned(), format!("\0service\0{PASSWORD}"));
    let shown = broker.shown();
    assert!(shown.len() >= 2 && shown.iter().all(|shown| *shown == login), "{shown:?}");
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    // Anybody on the way could.
    assert!(broker.is_readable(PASSWORD));
    assert!(ran.stderr.contains("can read the events and the password"), "{ran:?}");
}

#[test]
fn a_login_that_is_refused_is_told_in_the_brokers_words_without_the_password() {
    let broker = Broker::plain(PASSWORD);
    let ran = check(&broker, "another-pa55-w0rd");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.matches(REFUSAL).count(), 2, "the pipeline and the input: {ran:?}");
    assert!(!broker.shown().is_empty() && !format!("{ran:?}").contains("another-pa55-w0rd"), "{ran:?}");
}
